import { describe, expect, it } from 'vitest';
import { Problem } from '#libs/contract';
import { errorResponse, preferredFormat } from './error-page.ts';
import { RequestError } from './request-error.ts';
import { noTargets, unknownHost } from './route-error.ts';

const request = { accept: 'text/html', requestId: 'id-1', headOnly: false, close: false };
const route = { host: 'x.test', app: { id: 'app_0', slug: 'shop' }, service: 'web', targets: [] };

function parse(response: string): { head: string; body: string } {
  const at = response.indexOf('\r\n\r\n');
  return { head: response.slice(0, at), body: response.slice(at + 4) };
}

describe('preferredFormat', () => {
  it.each([
    ['', 'text'],
    ['*/*', 'text'],
    ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', 'html'],
    ['application/json, text/plain, */*', 'json'],
    ['application/problem+json', 'json'],
    ['application/json, text/html', 'json'],
    ['text/html, application/json', 'html'],
  ])('%j → %s', (accept, format) => {
    expect(preferredFormat(accept)).toBe(format);
  });
});

describe('errorResponse', () => {
  it.each([
    ['empty', 'git push platform main', 'empty'],
    ['deploying', 'being deployed', 'deploying'],
    ['crashed', 'gantry logs', 'crashed'],
    ['stopped', 'gantry scale web=1', 'stopped'],
    ['serving', 'no healthy instance', 'deploying'],
  ] as const)('explains an app that is %s', (state, says, reason) => {
    const { head, body } = parse(errorResponse(noTargets({ ...route, state }), request));
    expect(head).toMatch(/^HTTP\/1\.1 503 Service Unavailable\r\n/);
    expect(head).toMatch(/\r\nRetry-After: \d+/);
    expect(head).toContain(`Gantry-Error: ${reason}`);
    expect(body).toContain(says);
    expect(body.toLowerCase()).toContain('shop');
  });

  it('has the length that it says, in bytes', () => {
    for (const accept of ['text/html', 'application/json', '*/*']) {
      const error = new RequestError('bad-gateway', 'the app’s answer – gone', { hint: '…' });
      const { head, body } = parse(errorResponse(error, { ...request, accept }));
      expect(head).toContain(`Content-Length: ${Buffer.byteLength(body)}\r\n`);
    }
  });

  it('escapes what came from outside', () => {
    const { body } = parse(errorResponse(unknownHost('<script>`&"\'', '<b>'), request));
    expect(body).not.toMatch(/<script>|<b>/);
    expect(body).toContain('&lt;script&gt;`&amp;&quot;&#39;');
  });

  it('is a problem+json that the contract’s own schema reads', () => {
    const { head, body } = parse(
      errorResponse(unknownHost('x', 'd'), { ...request, accept: 'application/json' }),
    );
    expect(head).toContain('Content-Type: application/problem+json\r\n');
    expect(Problem.parse(JSON.parse(body))).toMatchObject({ status: 404, code: 'unknown-host' });
  });

  it('to HEAD is the head only', () => {
    const { head, body } = parse(errorResponse(unknownHost('x', 'd'), { ...request, headOnly: true }));
    expect(body).toBe('');
    expect(head).toMatch(/Content-Length: [1-9]/);
  });

  it('loads nothing from elsewhere', () => {
    const { body } = parse(errorResponse(unknownHost('x', 'd'), request));
    expect(body).not.toMatch(/https?:|src=|<script|@import|url\(/);
  });
});
