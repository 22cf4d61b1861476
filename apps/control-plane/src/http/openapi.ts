import { z } from 'zod';
import { type EndpointDefinition, Problem } from '#libs/contract';

/** OpenAPI 3.1 document of an endpoint table. */
export function openApiDocument(
  table: Record<string, EndpointDefinition>,
  server: { url: string; version: string },
): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const definition of Object.values(table)) {
    const path = definition.path.replace(/:([a-z]+)/gi, '{$1}');
    paths[path] = { ...paths[path], [definition.method.toLowerCase()]: operation(definition) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Gantry',
      version: server.version,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: server.url }],
    paths,
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      schemas: { Problem: schemaOf(Problem, 'output') },
    },
    security: [{ token: [] }],
  };
}

function operation(definition: EndpointDefinition): object {
  const media = definition.stream ? 'application/x-ndjson' : 'application/json';
  const status = definition.response ? (definition.method === 'POST' ? '201' : '200') : '204';
  return {
    operationId: definition.name,
    summary: definition.summary,
    tags: [definition.name.split('.')[0]],
    parameters: [...parameters('path', definition.params), ...parameters('query', definition.query)],
    ...(definition.body
      ? {
          requestBody: {
            required: true,
            content: { 'application/json': { schema: schemaOf(definition.body, 'input') } },
          },
        }
      : {}),
    responses: {
      [status]: definition.response
        ? { description: 'OK', content: { [media]: { schema: schemaOf(definition.response, 'output') } } }
        : { description: 'Done' },
      default: {
        description: 'Refused or failed',
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    },
    ...(definition.audience === 'none' ? { security: [] } : {}),
  };
}

function parameters(place: 'path' | 'query', schema: z.ZodObject | undefined): object[] {
  if (!schema) return [];
  return Object.entries(schema.shape).map(([name, field]) => ({
    name,
    in: place,
    required: place === 'path' || !z.safeParse(field as z.ZodType, undefined).success,
    schema: schemaOf(field as z.ZodType, 'input'),
  }));
}

function schemaOf(schema: z.ZodType, io: 'input' | 'output'): object {
  const { $schema: _, ...json } = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
  return json;
}
