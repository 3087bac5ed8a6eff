// The guard's parser behind line-delimited JSON: envelopes' texts in, what it reads out.
'use strict';

const { createInterface } = require('node:readline');

const { parseEnvelope } = require('../../cloud_code/lib/envelope.js');

(async () => {
  for await (const line of createInterface({ input: process.stdin })) {
    const { texts } = JSON.parse(line);
    process.stdout.write(`${JSON.stringify({ result: texts.map(parseEnvelope) })}\n`);
  }
})();
