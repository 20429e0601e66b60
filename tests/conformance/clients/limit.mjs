// node limit.mjs limit BASE_URL STREAMER_URL: the official DDP client at a streamer that is full.
// Prints 'CONNECTED n' for each connection; after the third it has to stay for ten seconds.
import { createRequire } from 'node:module';
import WebSocket from 'ws';
import { check, digest, finish, newUser, pause, step, until, within } from './harness.mjs';

globalThis.WebSocket = WebSocket;
const { DDPSDK } = createRequire(import.meta.url)('@rocket.chat/ddp-client');
process.on('unhandledRejection', (error) => console.log(`FAIL  unhandled rejection: ${error?.stack ?? JSON.stringify(error)}`));

const user = await newUser('limit');
const sdk = DDPSDK.create(process.argv[4]);
let connected = 0;
sdk.connection.on('connected', () => { connected += 1; console.log(`CONNECTED ${connected}`); });
await step('a full streamer serves', async () => {
	await within(10000, 'connect', sdk.connection.connect());
	await within(10000, 'login', sdk.account.loginWithPassword(user.username, digest(user.password).digest));
	check(Array.isArray(await within(10000, 'call', sdk.call('getUserRoles'))), 'no roles');
});
await step('it is asked to leave and comes again', () => until('three connections', () => connected >= 3, 40000));
await step('then it stays', async () => {
	await pause(10000);
	check(connected === 3, `connected ${connected} times`);
	check(Array.isArray(await within(10000, 'call', sdk.call('getUserRoles'))), 'no roles');
});
sdk.connection.close();
finish();
