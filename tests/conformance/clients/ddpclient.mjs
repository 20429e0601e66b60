// npm @rocket.chat/ddp-client 1.1.2 behind the scenario's interface. Its one attempt to reconnect has to succeed.
import { createRequire } from 'node:module';
import WebSocket from 'ws';
import { base, digest, until, within } from './harness.mjs';

globalThis.WebSocket = WebSocket;
const { DDPSDK } = createRequire(import.meta.url)('@rocket.chat/ddp-client');

export async function signIn(user) {
	const sdk = DDPSDK.create(base);
	const events = [];
	let returned = -1; // the first 'connected' is no return
	sdk.connection.on('connected', () => { returned += 1; });
	await within(10000, 'connect', sdk.connection.connect());
	await within(10000, 'login', sdk.account.loginWithPassword(user.username, digest(user.password).digest));
	await until('the own document', () => sdk.account.user?.username === user.username);
	return {
		events,
		returns: () => returned,
		call: (method, ...params) => within(15000, method, sdk.call(method, ...params)),
		async watch(stream, key) {
			const subscription = sdk.stream(stream, key, (...args) => events.push({ stream: `stream-${stream}`, key, args }));
			await within(10000, 'ready', subscription.ready());
		},
		close: () => sdk.connection.close(),
	};
}
