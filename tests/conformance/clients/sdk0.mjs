// npm @rocket.chat/sdk 0.2.9 (under most bots) behind the scenario's interface.
import { createRequire } from 'node:module';
import { base, within } from './harness.mjs';

const require = createRequire(import.meta.url);
const silent = Object.fromEntries(['debug', 'info', 'warning', 'warn', 'error'].map((level) => [level, () => {}]));

/** The SDK keeps one connection per module: each bot gets modules of its own. */
function freshSdk() {
	for (const key of Object.keys(require.cache)) {
		if (/node_modules\/(@rocket\.chat\/sdk|asteroid)\//.test(key)) delete require.cache[key];
	}
	const sdk = require('@rocket.chat/sdk');
	sdk.driver.useLog(silent);
	return sdk;
}

export async function signIn(user) {
	const { driver } = freshSdk();
	const asteroid = await within(10000, 'connect', driver.connect({ host: base, useSsl: false }));
	await within(10000, 'login', driver.login({ username: user.username, password: user.password }));
	const events = [];
	let returned = 0;
	asteroid.ddp.on('changed', ({ collection, fields }) => events.push({ stream: collection, key: fields.eventName, args: fields.args }));
	asteroid.on('login', () => { returned += 1; });
	return {
		events,
		driver,
		returns: () => returned,
		call: (method, ...params) => within(15000, method, driver.asyncCall(method, params)),
		watch: (stream, key) => within(10000, 'ready', driver.subscribe(`stream-${stream}`, key)),
		close: () => driver.disconnect(),
	};
}
