// Runs one SQL statement on the local server's database: for looks past Parse Server.
import { createRequire } from 'node:module';
import path from 'node:path';

let input = '';
for await (const piece of process.stdin) input += piece;
const { modules, connection, statement } = JSON.parse(input);
const { Client } = createRequire(path.join(modules, 'package.json'))('pg');
const client = new Client(connection);
await client.connect();
const { rows } = await client.query({ text: statement, rowMode: 'array' });
await client.end();
process.stdout.write(JSON.stringify(rows ?? []));
