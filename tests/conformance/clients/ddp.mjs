// npm ddp 0.12.1 behind the scenario's interface.
import DDPClient from 'ddp';
import { base, digest, within } from './harness.mjs';

export async function signIn(user) {
	const { hostname, port } = new URL(base);
	const client = new DDPClient({ host: hostname, port: Number(port), path: 'websocket', autoReconnect: true, autoReconnectTimer: 500 });
	const events = [];
	const watched = [];
	let returned = 0;
	client.on('message', (text) => {
		const { msg, collection, fields } = JSON.parse(text);
		if (msg === 'changed') events.push({ stream: collection, key: fields.eventName, args: fields.args });
	});
	const call = (method, ...params) => within(15000, method, new Promise((resolve, reject) => {
		client.call(method, params, (error, result) => (error ? reject(error) : resolve(result)));
	}));
	const subscribe = (stream, key) => within(10000, 'ready', new Promise((resolve, reject) => {
		client.subscribe(`stream-${stream}`, [key, true], (error) => (error ? reject(error) : resolve()));
	}));
	let token;
	await within(10000, 'connect', new Promise((resolve, reject) => {
		client.connect(async (error, again) => {
			if (error) return reject(error);
			if (!again) return resolve();
			await call('login', { resume: token });
			for (const [stream, key] of watched) await subscribe(stream, key);
			returned += 1;
		});
	}));
	({ token } = await call('login', { user: { username: user.username }, password: digest(user.password) }));
	return {
		events,
		returns: () => returned,
		call,
		async watch(stream, key) {
			await subscribe(stream, key);
			watched.push([stream, key]);
		},
		close: () => client.close(),
	};
}
