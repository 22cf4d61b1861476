/** One raw request, what the router must answer, and the exact bytes that the app must have seen. */
export interface FramingCase {
  name: string;
  send: string;
  /** Statuses of all responses, in order. */
  status: number[];
  /** What the app saw; nothing when left out. */
  app?: string;
}

const forwarded = (host: string): string =>
  `X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: ${host}\r\n` +
  'X-Request-Id: ID\r\nX-Request-Start: t=MS\r\n\r\n';

/** The head that the app sees: start line, Host, then `fields` (each with CRLF), then ours. */
const head = (line: string, fields = '', host = 'a.test'): string =>
  `${line}\r\nHost: ${host}\r\n${fields}${forwarded(host)}`;

// each good case closes its connection, so that the test sees the end
const CLOSE = 'Connection: close\r\n';
const GET = `GET / HTTP/1.1\r\nHost: a.test\r\n`;
const POST = `POST / HTTP/1.1\r\nHost: a.test\r\n`;
const CHUNKED = `${POST}${CLOSE}Transfer-Encoding: chunked\r\n\r\n`;
const seenChunked = (body: string): string =>
  head('POST / HTTP/1.1', 'Transfer-Encoding: chunked\r\n') + body;

const bad = (name: string, send: string, status = 400): FramingCase => ({ name, send, status: [status] });
const good = (name: string, send: string, app: string): FramingCase => ({ name, send, status: [200], app });

const requestLines: FramingCase[] = [
  good('a plain GET', `${GET}${CLOSE}\r\n`, head('GET / HTTP/1.1')),
  good(
    'path and query as they are',
    `GET //a/../b?x=%2F&y HTTP/1.1\r\nHost: a.test\r\n${CLOSE}\r\n`,
    head('GET //a/../b?x=%2F&y HTTP/1.1'),
  ),
  good('an unknown method', `BREW / HTTP/1.1\r\nHost: a.test\r\n${CLOSE}\r\n`, head('BREW / HTTP/1.1')),
  good('OPTIONS *', `OPTIONS * HTTP/1.1\r\nHost: a.test\r\n${CLOSE}\r\n`, head('OPTIONS * HTTP/1.1')),
  good('one empty line before the request', `\r\n${GET}${CLOSE}\r\n`, head('GET / HTTP/1.1')),
  good(
    'absolute form',
    `GET http://a.test/x HTTP/1.1\r\nHost: a.test\r\n${CLOSE}\r\n`,
    head('GET /x HTTP/1.1'),
  ),
  good(
    'absolute form without path',
    `GET http://A.test?q HTTP/1.1\r\nHost: a.test\r\n${CLOSE}\r\n`,
    head('GET /?q HTTP/1.1'),
  ),
  good('HTTP/1.0', 'GET / HTTP/1.0\r\nHost: a.test\r\n\r\n', head('GET / HTTP/1.1')),
  bad('two empty lines before the request', `\r\n\r\n${GET}\r\n`),
  bad('a bare LF before the request', `\n${GET}\r\n`),
  bad('absolute form of another host', `GET http://b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n`),
  bad('absolute form with another port', `GET http://a.test:81/ HTTP/1.1\r\nHost: a.test\r\n\r\n`),
  bad('absolute form with a user', `GET http://a.test@a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n`),
  bad('absolute form of another scheme', `GET https://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n`),
  bad('a target without slash', `GET x HTTP/1.1\r\nHost: a.test\r\n\r\n`),
  bad('* with GET', `GET * HTTP/1.1\r\nHost: a.test\r\n\r\n`),
  bad('a fragment in the target', `GET /#x HTTP/1.1\r\nHost: a.test\r\n\r\n`),
  bad('two spaces in the request line', `GET  / HTTP/1.1\r\nHost: a.test\r\n\r\n`),
  bad('a tab in the request line', `GET\t/ HTTP/1.1\r\nHost: a.test\r\n\r\n`),
  bad('a space in the target', `GET /a b HTTP/1.1\r\nHost: a.test\r\n\r\n`),
  bad('a space after the version', `GET / HTTP/1.1 \r\nHost: a.test\r\n\r\n`),
  bad('a space before the method', ` GET / HTTP/1.1\r\nHost: a.test\r\n\r\n`),
  bad('a non-ASCII target', `GET /\xe9 HTTP/1.1\r\nHost: a.test\r\n\r\n`),
  bad('a NUL in the target', `GET /\0 HTTP/1.1\r\nHost: a.test\r\n\r\n`),
  bad('HTTP/0.9', `GET /\r\n\r\n`),
  bad('lower-case version name', `GET / http/1.1\r\nHost: a.test\r\n\r\n`),
  bad('a version with two digits', `GET / HTTP/1.10\r\nHost: a.test\r\n\r\n`),
  bad('HTTP/1.2', `GET / HTTP/1.2\r\nHost: a.test\r\n\r\n`, 505),
  bad('the HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505),
  bad('TLS on a plain port', '\x16\x03\x01\x02\x00\x01\x00'),
  bad('CONNECT', `CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n`, 405),
  bad('TRACE', `TRACE / HTTP/1.1\r\nHost: a.test\r\n\r\n`, 405),
  bad('a request line of 40 KB', `GET /${'a'.repeat(40_000)} HTTP/1.1\r\nHost: a.test\r\n\r\n`, 414),
];

const hosts: FramingCase[] = [
  good(
    'Host in capitals',
    `GET / HTTP/1.1\r\nHOST: A.Test\r\n${CLOSE}\r\n`,
    head('GET / HTTP/1.1', '', 'A.Test'),
  ),
  good(
    'Host with a port',
    `GET / HTTP/1.1\r\nHost: a.test:8080\r\n${CLOSE}\r\n`,
    head('GET / HTTP/1.1', '', 'a.test:8080'),
  ),
  good(
    'Host with a trailing dot',
    `GET / HTTP/1.1\r\nHost: a.test.\r\n${CLOSE}\r\n`,
    head('GET / HTTP/1.1', '', 'a.test.'),
  ),
  bad('no Host', 'GET / HTTP/1.1\r\n\r\n'),
  bad('no Host in HTTP/1.0', 'GET / HTTP/1.0\r\n\r\n'),
  bad('an empty Host', 'GET / HTTP/1.1\r\nHost:\r\n\r\n'),
  bad('two Hosts', `${GET}Host: a.test\r\n\r\n`),
  bad('two different Hosts', `${GET}Host: b.test\r\n\r\n`),
  bad('two names in Host', 'GET / HTTP/1.1\r\nHost: a.test, b.test\r\n\r\n'),
  bad('a path in Host', 'GET / HTTP/1.1\r\nHost: a.test/x\r\n\r\n'),
  bad('a user in Host', 'GET / HTTP/1.1\r\nHost: b.test@a.test\r\n\r\n'),
  bad('a port that is no number', 'GET / HTTP/1.1\r\nHost: a.test:80a\r\n\r\n'),
  bad('a space in Host', 'GET / HTTP/1.1\r\nHost: a.test b\r\n\r\n'),
];

const fields: FramingCase[] = [
  good(
    'odd but legal white space around a value',
    `${GET}X-A: \t v w\t \r\nX-B:\r\n${CLOSE}\r\n`,
    head('GET / HTTP/1.1', 'X-A: \t v w\t \r\nX-B:\r\n'),
  ),
  good('latin1 in a value', `${GET}X-A: caf\xe9\r\n${CLOSE}\r\n`, head('GET / HTTP/1.1', 'X-A: caf\xe9\r\n')),
  good(
    'hop-by-hop fields are removed',
    `${GET}Keep-Alive: timeout=5\r\nTE: trailers\r\nProxy-Connection: x\r\nX-Hop: 1\r\nX-Stay: 1\r\nConnection: X-Hop, TE, close\r\n\r\n`,
    head('GET / HTTP/1.1', 'X-Stay: 1\r\n'),
  ),
  good(
    'forged forwarding fields are replaced',
    `${GET}X-Forwarded-For: 1.1.1.1\r\nx-forwarded-proto: https\r\nX_Forwarded_For: 2.2.2.2\r\nX-Forwarded-Port: 1\r\nForwarded: for=3.3.3.3\r\nX-Real-IP: 4.4.4.4\r\nX-Request-ID: mine\r\nX-Request-Start: t=1\r\nProxy: http://evil/\r\nX-Mine: 1\r\n${CLOSE}\r\n`,
    head('GET / HTTP/1.1', 'X-Mine: 1\r\n'),
  ),
  good(
    'an upgrade other than WebSocket is ignored',
    `${GET}Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n`,
    head('GET / HTTP/1.1'),
  ),
  bad('obs-fold', `${GET}X-A: b\r\n c\r\n\r\n`),
  bad('obs-fold by tab', `${GET}X-A: b\r\n\tc\r\n\r\n`),
  bad('white space before the first field', `GET / HTTP/1.1\r\n Host: a.test\r\n\r\n`),
  bad('white space before the colon', `${GET}X-A : b\r\n\r\n`),
  bad('an empty field name', `${GET}: b\r\n\r\n`),
  bad('no colon', `${GET}X-A\r\n\r\n`),
  bad('a field name with parentheses', `${GET}X(A): b\r\n\r\n`),
  bad('a non-ASCII field name', `${GET}X\xe9: b\r\n\r\n`),
  bad('a bare LF between fields', `${GET}X-A: b\nX-B: c\r\n\r\n`),
  bad('a bare CR in a value', `${GET}X-A: b\rX-B: c\r\n\r\n`),
  bad('a head of bare LFs only', 'GET / HTTP/1.1\nHost: a.test\n\n'),
  bad('a NUL in a value', `${GET}X-A: b\0c\r\n\r\n`),
  bad('a vertical tab in a value', `${GET}X-A: b\x0bc\r\n\r\n`),
  bad('DEL in a value', `${GET}X-A: b\x7f\r\n\r\n`),
  bad('Connection: Host', `${GET}Connection: Host\r\n\r\n`),
  bad('Connection: Content-Length', `${POST}Connection: Content-Length\r\nContent-Length: 1\r\n\r\nx`),
  bad('Connection: X-Forwarded-For', `${GET}Connection: close, X-Forwarded-For\r\n\r\n`),
  bad('Connection: Authorization', `${GET}Connection: Authorization\r\nAuthorization: x\r\n\r\n`),
  bad('a malformed Connection', `${GET}Connection: clo se\r\n\r\n`),
  bad('an unknown expectation', `${POST}Expect: 200-ok\r\nContent-Length: 1\r\n\r\nx`, 417),
  bad('129 fields', `${GET}${'X-A: b\r\n'.repeat(128)}\r\n`, 431),
  bad('a head of 40 KB', `${GET}X-A: ${'b'.repeat(40_000)}\r\n\r\n`, 431),
];

const lengths: FramingCase[] = [
  good(
    'a body by Content-Length',
    `${POST}${CLOSE}Content-Length: 3\r\n\r\nabc`,
    `${head('POST / HTTP/1.1', 'Content-Length: 3\r\n')}abc`,
  ),
  good(
    'Content-Length: 0',
    `${POST}${CLOSE}Content-Length: 0\r\n\r\n`,
    head('POST / HTTP/1.1', 'Content-Length: 0\r\n'),
  ),
  good(
    'GET with a body',
    `${GET}${CLOSE}content-length: 1\r\n\r\nx`,
    `${head('GET / HTTP/1.1', 'Content-Length: 1\r\n')}x`,
  ),
  good(
    'what follows a closing request is not sent on',
    `${POST}${CLOSE}Content-Length: 1\r\n\r\nxGET /evil HTTP/1.1\r\nHost: a.test\r\n\r\n`,
    `${head('POST / HTTP/1.1', 'Content-Length: 1\r\n')}x`,
  ),
  good(
    'a twin of Content-Length with an underscore is dropped',
    `${POST}${CLOSE}Content_Length: 9\r\nContent-Length: 1\r\n\r\nx`,
    `${head('POST / HTTP/1.1', 'Content-Length: 1\r\n')}x`,
  ),
  ...['+3', '-3', '3,3', '3 3', '0x3', '03', '3.0', '', '1e1', '3;', '9999999999999999'].map((value) =>
    bad(`Content-Length: ${value || '(nothing)'}`, `${POST}Content-Length: ${value}\r\n\r\nabc`),
  ),
  bad('two equal Content-Lengths', `${POST}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc`),
  bad('two Content-Lengths', `${POST}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc`),
  bad(
    'Content-Length and Transfer-Encoding',
    `${POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ),
  bad(
    'Transfer-Encoding and Content-Length',
    `${POST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`,
  ),
];

const chunked: FramingCase[] = [
  good(
    'a chunked body',
    `${CHUNKED}3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n`,
    seenChunked('3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n'),
  ),
  good('an empty chunked body', `${CHUNKED}0\r\n\r\n`, seenChunked('0\r\n\r\n')),
  good(
    'Transfer-Encoding in capitals',
    `${POST}${CLOSE}TRANSFER-ENCODING: Chunked\r\n\r\n0\r\n\r\n`,
    seenChunked('0\r\n\r\n'),
  ),
  good(
    'chunk extensions are removed',
    `${CHUNKED}3;a=b;c="d"\r\nabc\r\n0;x\r\n\r\n`,
    seenChunked('3\r\nabc\r\n0\r\n\r\n'),
  ),
  good(
    'trailers go on',
    `${CHUNKED}1\r\na\r\n0\r\nX-Sum: 1\r\nX-B: 2\r\n\r\n`,
    seenChunked('1\r\na\r\n0\r\nX-Sum: 1\r\nX-B: 2\r\n\r\n'),
  ),
  bad(
    'Transfer-Encoding in HTTP/1.0',
    'POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ),
  bad(
    'two Transfer-Encodings',
    `${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ),
  ...[
    'xchunked',
    'chunked, chunked',
    'chunked, gzip',
    'identity',
    'chunked;q=1',
    '"chunked"',
    'chunked,',
    ',chunked',
    '',
    '\x0bchunked',
  ].map((value) =>
    bad(`Transfer-Encoding: ${JSON.stringify(value)}`, `${POST}Transfer-Encoding: ${value}\r\n\r\n0\r\n\r\n`),
  ),
  bad('Transfer-Encoding: gzip, chunked', `${POST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`, 501),
  bad(
    'Transfer-Encoding with white space before the colon',
    `${POST}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`,
  ),
  bad('a folded Transfer-Encoding', `${POST}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`),
  ...['', 'g', '0x3', '+3', '-3', ' 3', '3 ', '\t3', '3\t', '1000000000000', '0000000000003'].map((size) =>
    bad(`chunk size ${JSON.stringify(size)}`, `${CHUNKED}${size}\r\nabc\r\n0\r\n\r\n`),
  ),
  bad('a chunk size ended by LF', `${CHUNKED}3\nabc\r\n0\r\n\r\n`),
  bad('a chunk size ended by CR', `${CHUNKED}3\rXabc\r\n0\r\n\r\n`),
  bad('an extension ended by LF', `${CHUNKED}3;a\nabc\r\n0\r\n\r\n`),
  bad('a space before an extension', `${CHUNKED}3 ;a\r\nabc\r\n0\r\n\r\n`),
  bad('a control character in an extension', `${CHUNKED}3;a\x01\r\nabc\r\n0\r\n\r\n`),
  bad('extensions of 10 KB', `${CHUNKED}3;${'a'.repeat(10_000)}\r\nabc\r\n0\r\n\r\n`),
  bad('chunk data longer than its size', `${CHUNKED}3\r\nabcd\r\n0\r\n\r\n`),
  bad('chunk data ended by LF', `${CHUNKED}3\r\nabc\n0\r\n\r\n`),
  bad('a malformed trailer', `${CHUNKED}0\r\nX-A b\r\n\r\n`),
  bad('a folded trailer', `${CHUNKED}0\r\nX-A: b\r\n c\r\n\r\n`),
  bad('a trailer line ended by LF', `${CHUNKED}0\r\nX-A: b\nX-B: c\r\n\r\n`),
  bad('Content-Length as a trailer', `${CHUNKED}0\r\nContent-Length: 3\r\n\r\n`),
  bad('X-Forwarded-For as a trailer', `${CHUNKED}0\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n`),
  bad('trailers of 10 KB', `${CHUNKED}0\r\nX-A: ${'a'.repeat(10_000)}\r\n\r\n`),
];

const several: FramingCase[] = [
  {
    name: 'pipelined requests are served one after the other',
    send: `${GET}\r\n${POST}Content-Length: 1\r\n\r\nx${GET}${CLOSE}\r\n`,
    status: [200, 200, 200],
    app: `${head('GET / HTTP/1.1')}${head('POST / HTTP/1.1', 'Content-Length: 1\r\n')}x${head('GET / HTTP/1.1')}`,
  },
  {
    name: 'a bad request after a good one',
    send: `${GET}\r\n${GET}Content-Length: x\r\n\r\n${GET}\r\n`,
    status: [200, 400],
    app: head('GET / HTTP/1.1'),
  },
  {
    name: 'an unknown host keeps the connection',
    send: `GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n${GET}${CLOSE}\r\n`,
    status: [404, 200],
    app: head('GET / HTTP/1.1'),
  },
  {
    name: 'a body for an unknown host is not read as a request',
    send: `POST / HTTP/1.1\r\nHost: nobody.test\r\nContent-Length: 40\r\n\r\n${GET}\r\n`,
    status: [404],
  },
  bad(
    'a WebSocket handshake with a body',
    `${GET}Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nabc`,
  ),
];

export const FRAMING_CASES: FramingCase[] = [
  ...requestLines,
  ...hosts,
  ...fields,
  ...lengths,
  ...chunked,
  ...several,
];
