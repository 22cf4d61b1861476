import { ConfigName } from '#libs/contract';

/** Where Debian keeps the certificates of the authorities that the host trusts. */
export const DEFAULT_CA_BUNDLE = '/etc/ssl/certs/ca-certificates.crt';

/** Where build steps find it. */
const CA_BUNDLE_INSIDE = '/cnb/ca-certificates.crt';
/** Each tool has a name of its own for the same file. Machines may sit behind a proxy that inspects TLS. */
const CA_VARIABLES = [
  'SSL_CERT_FILE',
  'NODE_EXTRA_CA_CERTS',
  'PIP_CERT',
  'REQUESTS_CA_BUNDLE',
  'CURL_CA_BUNDLE',
  'GIT_SSL_CAINFO',
  'CARGO_HTTP_CAINFO',
];

/** Config that would change how the lifecycle itself runs; buildpacks still find it in /platform/env. */
const KEPT_FROM_STEPS =
  /^(PATH|HOME|SHELL|USER|LANG|BASH_.*|BASHOPTS|SHELLOPTS|ENV|IFS|LD_.*|CNB_.*|GANTRY_.*|SOURCE_DATE_EPOCH)$/;

/** The environment of build steps: the base's, the app's config, what the network needs. */
export function buildEnvironment(options: {
  build: { env: Record<string, string>; sourceDateEpoch: number };
  networkEnv?: Record<string, string>;
  bases: { build: { env: string[] } };
}): Record<string, string> {
  const env: Record<string, string> = {};
  for (const name of CA_VARIABLES) env[name] = CA_BUNDLE_INSIDE;
  Object.assign(env, options.networkEnv);
  for (const [name, value] of Object.entries(options.build.env)) {
    if (ConfigName.safeParse(name).success && !KEPT_FROM_STEPS.test(name)) env[name] = value;
  }
  for (const entry of options.bases.build.env)
    env[entry.slice(0, entry.indexOf('='))] = entry.slice(entry.indexOf('=') + 1);
  env.SOURCE_DATE_EPOCH = String(options.build.sourceDateEpoch);
  return env;
}
