// A crowd of web and mobile clients on npm @rocket.chat/sdk 1.0.0-alpha.42, doing what those of the official load tester
// do: its calls and subscriptions at the start and in a room, its mix of actions. Prints a line of JSON: how often each
// action succeeded and failed, and what every room that was open received of what was sent there.
import { createRequire } from 'node:module';
import { base, get, newUser, pause, post, until, within } from './harness.mjs';

const { Rocketchat } = createRequire(import.meta.url)('rocketchat-sdk-alpha');
const WEB = Number(process.argv[4]);
const MOBILE = Number(process.argv[5]);
const SECONDS = Number(process.argv[6]);
const RATES = { message: 12, read: 3, openRoom: 3, setStatus: 2, listenPresence: 3, uploadFile: 1 }; // per second
const LOGGED = ['deleteCustomSound', 'updateCustomSound', 'updateEmojiCustom', 'deleteEmojiCustom', 'deleteCustomUserStatus',
	'updateCustomUserStatus', 'banner-changed', 'updateAvatar', 'Users:NameChanged', 'Users:Deleted', 'roles-change',
	'voip.statuschanged', 'permissions-changed', 'uploadFile'];
const OWN = ['uiInteraction', 'video-conference', 'force_logout', 'message', 'subscriptions-changed', 'notification', 'otr',
	'rooms-changed', 'webrtc', 'userData'];
const APPS = ['app/added', 'app/removed', 'app/updated', 'app/settingUpdated', 'command/added', 'command/disabled',
	'command/updated', 'command/removed', 'actions/changed'];
const AT_START = [['license:getModules'], ['listCustomSounds'], ['listCustomUserStatus'], ['license:isEnterprise'],
	['loadLocale', 'pt-BR'], ['getUserRoles'], ['livechat:getRoutingConfig'], ['rooms/get'], ['permissions/get']];
const OUT_OF_SCOPE = new Set(['loadLocale', 'livechat:getRoutingConfig']); // 404 inside of an answer that is a success

const logger = Object.fromEntries(['debug', 'info', 'warn', 'warning', 'error'].map((level) => [level, () => {}]));
const counts = {};
const errors = [];
const pick = (some) => some[Math.floor(Math.random() * some.length)];

/** Counts how it ended; never throws. */
async function counted(action, body) {
	const count = (counts[action] ??= { success: 0, error: 0 });
	try {
		const result = await within(15000, action, body());
		count.success += 1;
		return result;
	} catch (error) {
		count.error += 1;
		errors.push(`${action}: ${error?.message ?? JSON.stringify(error)}`);
	}
}

class Client {
	constructor(user, mobile) {
		this.user = user;
		this.mobile = mobile;
		this.open = new Map(); // room id → what was received of it
		this.watched = [];
		this.sdk = new Rocketchat({ logger, host: base, useSsl: false });
	}

	viaRest(method, ...params) {
		const message = JSON.stringify({ msg: 'method', id: 1001, method, params });
		return this.sdk.post(`method.call/${encodeURIComponent(method)}`, { message }).then((answer) => {
			const { error, result } = JSON.parse(answer.message);
			if (error && !(OUT_OF_SCOPE.has(method) && error.error === 404)) throw new Error(`${method}: ${JSON.stringify(error)}`);
			return result;
		});
	}

	async start() {
		await this.sdk.connect({});
		if (this.mobile) {
			await Promise.all([get('settings.public'), get('settings.oauth')]);
		} else {
			const message = JSON.stringify({ msg: 'method', id: 1001, method: 'public-settings/get', params: [] });
			await post('method.callAnon/public-settings%2Fget', { message });
			await (await fetch(`${base}/api/apps/actionButtons`)).json();
			await this.sdk.subscribe('meteor.loginServiceConfiguration');
			await this.sdk.subscribe('meteor_autoupdate_clientVersions');
			await this.sdk.subscribe('stream-notify-all', 'public-settings-changed', false);
		}
		const { id } = await this.sdk.login({ username: this.user.username, password: this.user.password });
		const subscribe = (stream, keys) => Promise.all(keys.map((key) => this.sdk.subscribe(stream, key, false)));
		if (this.mobile) {
			await subscribe('stream-notify-user', [`${id}/rooms-changed`, `${id}/subscriptions-changed`]);
			await Promise.all(['userData', 'activeUsers'].map((name) => this.sdk.subscribe(name, '')));
			await Promise.all(['me', 'permissions', 'settings.public', 'subscriptions.get', 'rooms.get'].map((path) => this.sdk.get(path)));
		} else {
			await subscribe('stream-notify-logged', LOGGED);
			await subscribe('stream-notify-user', OWN.map((event) => `${id}/${event}`));
			await subscribe('stream-apps', APPS);
			await Promise.all(AT_START.map((call) => this.viaRest(...call)));
			const subscriptions = await this.viaRest('subscriptions/get', {});
			if (!subscriptions.some(({ rid }) => rid === 'GENERAL')) throw new Error('not in GENERAL');
		}
		const { ddp } = await this.sdk.socket;
		ddp.on('stream-room-messages', ({ msg, fields }) => {
			if (msg !== 'changed') return;
			for (const { rid, msg: text } of fields.args) this.open.get(rid)?.push(text);
		});
	}

	async openRoom(rid) {
		const calls = [
			this.sdk.subscribe('stream-room-messages', rid),
			...[this.mobile ? 'typing' : 'user-activity', 'deleteMessage', 'deleteMessageBulk'].map((event) => this.sdk.subscribe('stream-notify-room', `${rid}/${event}`)),
		];
		if (this.mobile) {
			calls.push(this.sdk.get('commands.list'));
			calls.push(...['members', 'roles', 'history'].map((what) => this.sdk.get(`channels.${what}`, { roomId: rid })));
		} else {
			calls.push(this.viaRest('loadHistory', rid, null, 50, new Date()), this.viaRest('getRoomRoles', rid));
		}
		await Promise.all(calls);
		if (!this.open.has(rid)) this.open.set(rid, []);
		await this.sdk.post('subscriptions.read', { rid });
	}

	async message(rid, text) {
		const event = this.mobile ? [`${rid}/typing`, this.user.username] : [`${rid}/user-activity`, this.user.username];
		await this.sdk.methodCall('stream-notify-room', ...event, true);
		await this.sdk.sendMessage(text, rid);
		await this.sdk.methodCall('stream-notify-room', ...event, false);
	}

	async listenPresence(ids) {
		await this.sdk.get(`users.presence?ids[]=${ids.join('&ids[]=')}&_empty=`);
		const { ddp } = await this.sdk.socket;
		// Never waited for: only the first of a socket becomes `ready`, the later ones are changes of it.
		ddp.subscribe('stream-user-presence', ['', { added: ids, removed: this.watched }]).catch((error) => errors.push(`watching: ${JSON.stringify(error)}`));
		this.watched = ids;
	}

	async uploadFile(rid) {
		const form = new FormData();
		form.append('file', new Blob(['a small file'], { type: 'text/plain' }), 'file.txt');
		const answer = await fetch(`${base}/api/v1/rooms.upload/${rid}`, {
			method: 'POST', body: form, headers: { 'X-Auth-Token': this.user.token, 'X-User-Id': this.user._id },
		});
		if (answer.status !== 200) throw new Error(`${answer.status} ${await answer.text()}`);
	}
}

const users = [];
for (let i = 0; i < WEB + MOBILE; i += 1) users.push(await newUser('load'));
const rooms = ['GENERAL'];
for (let i = 0; i < 3; i += 1) {
	const { channel } = await post('channels.create', { name: `load-${Date.now()}-${i}`, members: users.map(({ username }) => username) }, users[0]);
	rooms.push(channel._id);
}
const clients = users.map((user, i) => new Client(user, i >= WEB));
await Promise.all(clients.map((client) => counted('login', () => client.start())));
await Promise.all(clients.map((client) => counted('openRoom', () => client.openRoom(pick(rooms)))));

const sent = []; // {rid, text, to}: `to` are those who had the room open by then
const running = [];
const doing = {
	message: (client) => {
		const rid = pick(rooms);
		const text = `message ${sent.length}`;
		const to = clients.filter(({ open }) => open.has(rid));
		sent.push({ rid, text, to });
		return client.message(rid, text);
	},
	read: (client) => client.sdk.post('subscriptions.read', { rid: pick(rooms) }),
	openRoom: (client) => client.openRoom(pick(rooms)),
	setStatus: (client) => client.sdk.post('users.setStatus', { status: pick(['online', 'away', 'offline', 'busy']) }),
	listenPresence: (client) => client.listenPresence([pick(users)._id, pick(users)._id]),
	uploadFile: (client) => client.uploadFile(pick(rooms)),
};
const timers = Object.entries(RATES).map(([action, rate]) => setInterval(() => {
	running.push(counted(action, () => doing[action](pick(clients))));
}, 1000 / rate));
await pause(SECONDS * 1000);
timers.forEach(clearInterval);
await Promise.all(running);

const missing = () => sent.flatMap(({ rid, text, to }) => to.filter(({ open }) => !open.get(rid).includes(text)).map(() => `${rid} ${text}`));
await until('everything arrived', () => missing().length === 0, 5000).catch(() => {});
const doubled = sent.flatMap(({ rid, text, to }) => to.filter(({ open }) => open.get(rid).filter((seen) => seen === text).length > 1));
console.log(JSON.stringify({
	counts, errors, sent: sent.length, deliveries: sent.reduce((sum, { to }) => sum + to.length, 0), missing: missing(), doubled: doubled.length,
}));
process.exit(0);
