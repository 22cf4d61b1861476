import { describe, expect, it } from 'vitest';
import { loadConfig } from './config.ts';
import { parseOptions } from './options.ts';
import { addressesOf } from './programs.ts';

describe('parseOptions', () => {
  it('starts a platform for this machine unless told', () => {
    expect(parseOptions([])).toEqual({
      verb: 'up',
      dataDir: '/var/lib/gantry',
      domain: 'gantry.localhost',
      httpPort: 8080,
      apiPort: 8081,
      detach: false,
      json: false,
    });
  });

  it('takes every option', () => {
    const argv = [
      'up',
      '--data',
      '/srv/g',
      '--domain',
      'Apps.Example.org',
      '--http-port',
      '80',
      '--api-port=81',
      '--detach',
    ];
    expect(parseOptions(argv)).toMatchObject({
      dataDir: '/srv/g',
      domain: 'apps.example.org',
      httpPort: 80,
      apiPort: 81,
      detach: true,
    });
  });

  it.each([
    [['sideways'], 'the verbs are up, down and status'],
    [['up', 'now'], 'unexpected argument "now"'],
    [['--http-port', 'x'], '--http-port must be a number'],
    [['--http-port', '70000'], '--http-port must be at most 65535'],
    [['--http-port', '9000', '--api-port', '9000'], '--http-port and --api-port are both 9000'],
    [['--domain', 'a b'], '--domain must be a host name'],
    [['--data', ''], '--data needs a folder'],
    [['--colour'], '--colour'],
  ])('%j: %s', (argv, message) => {
    expect(() => parseOptions(argv)).toThrow(message);
  });
});

describe('addressesOf', () => {
  it('listens on the loopback for a domain of this machine only', () => {
    const local = { domain: 'gantry.localhost', httpPort: 8080, apiPort: 8081 };
    expect(addressesOf(local)).toMatchObject({
      host: '127.0.0.1',
      appsUrl: 'http://APP.gantry.localhost:8080/',
    });
    expect(addressesOf({ ...local, domain: 'localhost' }).host).toBe('127.0.0.1');
    expect(addressesOf({ ...local, domain: 'notlocalhost' }).host).toBe('0.0.0.0');
    expect(addressesOf({ domain: 'apps.example.org', httpPort: 80, apiPort: 8081 })).toMatchObject({
      host: '0.0.0.0',
      publicApiUrl: 'http://apps.example.org:8081',
      appsUrl: 'http://APP.apps.example.org/',
    });
  });
});

describe('loadConfig', () => {
  it('hands down the environment without what would change how children work', () => {
    const { inherited } = loadConfig({
      HTTPS_PROXY: 'http://proxy:1',
      NODE_OPTIONS: '--inspect',
      PGDATA: '/x',
      PATH: '/bin',
    });
    expect(inherited).toEqual({ HTTPS_PROXY: 'http://proxy:1', PATH: '/bin' });
  });

  it('names a bad variable and not its value', () => {
    expect(() => loadConfig({ DATABASE_URL: 'mysql://me:secret@host/db' })).toThrow(/DATABASE_URL/);
    expect(() => loadConfig({ DATABASE_URL: 'mysql://me:secret@host/db' })).not.toThrow(/secret/);
  });
});
