// npm simpleddp 2.2.4 behind the scenario's interface.
import simpleDDP from 'simpleddp';
import WebSocket from 'ws';
import { digest, websocketUrl, within } from './harness.mjs';

export async function signIn(user) {
	const ddp = new simpleDDP({ endpoint: websocketUrl, SocketConstructor: WebSocket, reconnectInterval: 500 });
	const events = [];
	const subscriptions = [];
	let returned = 0;
	ddp.ddpConnection.on('changed', ({ collection, fields }) => events.push({ stream: collection, key: fields.eventName, args: fields.args }));
	await within(10000, 'connect', ddp.connect());
	const login = await ddp.call('login', { user: { username: user.username }, password: digest(user.password) });
	ddp.on('connected', async () => {
		await ddp.call('login', { resume: login.token });
		for (const subscription of subscriptions) await subscription.restart();
		returned += 1;
	});
	return {
		events,
		returns: () => returned,
		call: (method, ...params) => within(15000, method, ddp.call(method, ...params)),
		async watch(stream, key) {
			const subscription = ddp.subscribe(`stream-${stream}`, key, { useCollection: false, args: [] });
			await within(10000, 'ready', Promise.race([subscription.ready(), subscription.nosub().then((error) => Promise.reject(error))]));
			subscriptions.push(subscription);
		},
		close: () => ddp.disconnect(),
	};
}
