// node run.mjs CLIENT BASE_URL: two members and a stranger talk through one npm client.
// Prints a line per step and 'KILL STREAMERS' when the streamers are to be killed.
import { check, finish, get, killStreamers, newUser, pause, post, randomId, step, until } from './harness.mjs';

// A refusal that we provoke leaves a rejection unhandled inside two of the libraries. While clients
// come back after a failure there must be none: a bot's process would end.
let provoking = true;
process.on('unhandledRejection', (error) => {
	console.log(`${provoking ? 'note ' : 'FAIL '} unhandled rejection: ${error?.stack ?? JSON.stringify(error)}`);
});

const { signIn } = await import(`./${process.argv[2]}.mjs`);
const [ana, bo, cy] = [await newUser('ana'), await newUser('bo'), await newUser('cy')];
let a; let b; let c; let rid;

const messages = (client, probe) => client.events.find(({ stream, key, args }) => stream === 'stream-room-messages' && key === rid && probe(args[0]));
const activity = (client, event, probe) => client.events.find(({ stream, key, args }) => stream === 'stream-notify-room' && key === `${rid}/${event}` && probe(...args));
const send = (client, msg) => client.call('sendMessage', { _id: randomId(), rid, msg });

await step('three users sign in', async () => {
	[a, b, c] = [await signIn(ana), await signIn(bo), await signIn(cy)];
});
await step('a room is made and joined', async () => {
	({ rid } = await a.call('createPrivateGroup', `room-${randomId()}`, [bo.username]));
	check(typeof rid === 'string', `rid: ${rid}`);
	const { channel } = await post('channels.create', { name: `open-${randomId()}` }, ana);
	await b.call('joinRoom', channel._id, '');
	const { members } = await get(`channels.members?roomId=${channel._id}`, ana);
	check(members.some(({ _id }) => _id === bo._id), 'not a member');
});
await step('a message reaches the other member', async () => {
	await b.watch('room-messages', rid);
	const sent = await send(a, 'hello');
	await until('the message', () => messages(b, ({ _id, msg, u }) => _id === sent._id && msg === 'hello' && u._id === ana._id));
});
await step('a stranger is refused and receives nothing', async () => {
	let refused = false;
	await c.watch('room-messages', rid).catch(() => { refused = true; });
	const sent = await send(a, 'secret');
	await until('the message', () => messages(b, ({ _id }) => _id === sent._id));
	check(refused, 'subscribed');
	check(!messages(c, () => true), 'leaked');
});
await step('an edit reaches the other', async () => {
	const sent = await send(a, 'before');
	await a.call('updateMessage', { _id: sent._id, rid, msg: 'after' });
	await until('the edit', () => messages(b, ({ _id, msg, editedAt }) => _id === sent._id && msg === 'after' && editedAt));
});
await step('a deletion reaches the other', async () => {
	await b.watch('notify-room', `${rid}/deleteMessage`);
	const sent = await send(a, 'short-lived');
	await a.call('deleteMessage', { _id: sent._id });
	await until('the deletion', () => activity(b, 'deleteMessage', ({ _id }) => _id === sent._id));
});
await step('typing reaches the other', async () => {
	await b.watch('notify-room', `${rid}/user-activity`);
	await a.call('stream-notify-room', `${rid}/user-activity`, ana.username, ['user-typing'], {});
	await until('typing', () => activity(b, 'user-activity', (name, what) => name === ana.username && what.includes('user-typing')));
});
await step('a direct message reaches the other', async () => {
	const direct = (await a.call('createDirectMessage', bo.username)).rid;
	await b.watch('room-messages', direct);
	const sent = await a.call('sendMessage', { _id: randomId(), rid: direct, msg: 'just us' });
	await until('the direct message', () => b.events.find(({ key, args }) => key === direct && args[0]._id === sent._id));
});
await step('an unknown method is an error, and the connection lives on', async () => {
	let error;
	await a.call('no-such-method').catch((reason) => { error = reason; });
	check(error, 'no error');
	check((await a.call('getRoomIdByNameOrId', rid)) === rid, 'no answer afterwards');
});
await step('killed streamers: both come back and go on', async () => {
	provoking = false;
	const before = [a, b].map((client) => client.returns());
	await killStreamers();
	await until('both are back', () => [a, b].every((client, index) => client.returns() > before[index]), 40000);
	await pause(500); // the libraries tell of their login before their subscriptions are back
	let sent;
	await until('a message is accepted', async () => {
		sent = await send(a, 'we are back').catch(() => undefined);
		return sent;
	}, 10000);
	await until('the message', () => messages(b, ({ _id }) => _id === sent._id));
});
for (const client of [a, b, c]) await Promise.resolve(client?.close()).catch(() => {});
finish();
