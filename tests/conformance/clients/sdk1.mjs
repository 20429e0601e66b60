// npm @rocket.chat/sdk 1.0.0-alpha.42 (what the official load tester uses) behind the scenario's interface.
import { createRequire } from 'node:module';
import { base, within } from './harness.mjs';

const { Rocketchat } = createRequire(import.meta.url)('rocketchat-sdk-alpha');
const logger = Object.fromEntries(['debug', 'info', 'warn', 'warning', 'error'].map((level) => [level, () => {}]));

export async function signIn(user) {
	const client = new Rocketchat({ logger, host: base, useSsl: false, protocol: 'ddp', reopen: 1000 });
	await within(10000, 'connect', client.connect({}));
	await within(10000, 'login', client.login({ username: user.username, password: user.password }));
	const { ddp } = await client.socket;
	const events = [];
	const heard = new Set();
	let returned = 0;
	ddp.on('login', () => { returned += 1; });
	return {
		events,
		returns: () => returned,
		call: (method, ...params) => within(15000, method, ddp.call(method, ...params)),
		async watch(stream, key) {
			const collection = `stream-${stream}`;
			if (!heard.has(collection)) {
				heard.add(collection);
				ddp.on(collection, ({ msg, fields }) => msg === 'changed' && events.push({ stream: collection, key: fields.eventName, args: fields.args }));
			}
			await within(10000, 'ready', ddp.subscribe(collection, [key, false]));
		},
		close: () => client.disconnect(),
	};
}
