/** Who calls: a person (through a token of one organization), an agent or a router. */
export type Actor = UserActor | NodeActor | RouterActor;

export interface UserActor {
  kind: 'user';
  user: { id: string; name: string; operator: boolean };
  organization: { id: string; slug: string };
  role: 'owner' | 'developer' | 'viewer';
}

export interface NodeActor {
  kind: 'node';
  nodeId: string;
}

export interface RouterActor {
  kind: 'router';
  routerId: string;
}
