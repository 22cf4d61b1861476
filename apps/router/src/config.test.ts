import { describe, expect, it } from 'vitest';
import { loadConfig } from './config.ts';

const env = {
  GANTRY_CONTROL_PLANE_URL: 'http://127.0.0.1:8081',
  GANTRY_ROUTER_TOKEN: 'secret-token',
  GANTRY_ROUTER_STATE_FILE: '/x/routes.json',
  GANTRY_HTTP_HOST: '127.0.0.1',
  GANTRY_HTTP_PORT: '80',
  GANTRY_DOMAIN: 'd.test',
};

describe('loadConfig', () => {
  it('reads the environment', () => {
    expect(loadConfig(env)).toMatchObject({ listenOn: { host: '127.0.0.1', port: 80 }, domain: 'd.test' });
    expect(loadConfig({ ...env, GANTRY_LISTEN_FD: '4' }).listenOn).toEqual({ fd: 4 });
    expect(loadConfig({ ...env, GANTRY_LISTEN_FD: '' }).listenOn).toEqual({ host: '127.0.0.1', port: 80 });
  });

  it('names what is wrong without its value', () => {
    const load = () => loadConfig({ ...env, GANTRY_HTTP_PORT: 'nonsense', GANTRY_ROUTER_TOKEN: '' });
    expect(load).toThrow(/GANTRY_ROUTER_TOKEN, GANTRY_HTTP_PORT$|GANTRY_HTTP_PORT, GANTRY_ROUTER_TOKEN$/);
    expect(load).not.toThrow(/nonsense/);
  });
});
