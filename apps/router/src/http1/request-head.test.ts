import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RequestError } from '../request-error.ts';
import { normalizeHost, parseRequestHead, type RequestHead } from './request-head.ts';
import { upstreamHead } from './upstream-head.ts';

const limits = { headerFields: 128 };
const parse = (fields: string, line = 'GET / HTTP/1.1'): RequestHead =>
  parseRequestHead(`${line}\r\nHost: a.test\r\n${fields}`, limits);
const facts = { clientAddress: '9.9.9.9', requestId: 'ID', startedAtMs: 1 };

describe('parseRequestHead', () => {
  it('reads what the router acts on', () => {
    expect(
      parse('Content-Length: 12\r\nAccept: x/y\r\nExpect: 100-Continue\r\n', 'POST /a?b HTTP/1.1'),
    ).toMatchObject({
      method: 'POST',
      target: '/a?b',
      host: 'a.test',
      framing: 'length',
      contentLength: 12,
      keepAlive: true,
      accept: 'x/y',
      expectsContinue: true,
      webSocket: false,
    });
  });

  it.each([
    ['Connection: Upgrade\r\nUpgrade: websocket\r\n', true],
    ['Connection: keep-alive, UPGRADE\r\nUpgrade: WebSocket\r\n', true],
    ['Upgrade: websocket\r\n', false],
    ['Connection: Upgrade\r\nUpgrade: h2c\r\n', false],
    ['Connection: Upgrade\r\n', false],
  ])('%j is a WebSocket handshake: %s', (fields, webSocket) => {
    expect(parse(fields).webSocket).toBe(webSocket);
    expect(parse(fields, 'POST / HTTP/1.1').webSocket).toBe(false);
  });

  it.each([
    ['GET / HTTP/1.1', '', true],
    ['GET / HTTP/1.1', 'Connection: close\r\n', false],
    ['GET / HTTP/1.0', '', false],
    ['GET / HTTP/1.0', 'Connection: keep-alive\r\n', true],
    ['GET / HTTP/1.0', 'Connection: keep-alive, close\r\n', false],
  ])('%s %j keeps the connection: %s', (line, fields, keepAlive) => {
    expect(parse(fields, line).keepAlive).toBe(keepAlive);
  });

  it('either refuses a head or sends on one that reads the same', () => {
    const piece = fc.constantFrom(
      ...[
        'Content-Length',
        'Transfer-Encoding',
        'Host',
        'Connection',
        'X-Forwarded-For',
        'X-A',
        'x_a',
        ':',
        ': ',
        ' ',
        '\t',
      ],
      ...[
        '\r\n',
        '\r',
        '\n',
        '0',
        '5',
        'chunked',
        'close',
        'a.test',
        ',',
        '\0',
        '\x0b',
        '\xff',
        'X-Forwarded_For',
      ],
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
        let head: RequestHead;
        try {
          head = parse(`${pieces.join('')}\r\n`);
        } catch (error) {
          expect(error).toBeInstanceOf(RequestError);
          return;
        }
        const sent = upstreamHead(head, facts);
        expect(sent).not.toMatch(/[^\r]\n|\r[^\n]|\0/);
        const names = sent
          .split('\r\n')
          .map((line) => line.split(':')[0]?.toLowerCase().replaceAll('_', '-'));
        for (const name of ['host', 'x-forwarded-for'])
          expect(names.filter((n) => n === name)).toHaveLength(1);
        const framings = names.filter((n) => n === 'content-length' || n === 'transfer-encoding');
        expect(framings).toHaveLength(head.framing === 'none' ? 0 : 1);
      }),
      { numRuns: 5_000 },
    );
  });
});

describe('normalizeHost', () => {
  it.each([
    ['A.Test', 'a.test'],
    ['a.test:8080', 'a.test'],
    ['a.test.', 'a.test'],
    ['a.test.:80', 'a.test'],
    ['[::1]', '[::1]'],
    ['[::1]:80', '[::1]'],
  ])('%s → %s', (authority, host) => {
    expect(normalizeHost(authority)).toBe(host);
  });
});
