/** The platform's version, as in package.json (test/tidy.test.ts compares them). */
export const VERSION = '0.1.0';
