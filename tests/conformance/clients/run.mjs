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
await step('a reaction comes and goes', async () => {
	const sent = await send(a, 'react to me');
	await b.call('setReaction', ':tada:', sent._id, true);
	await until('the reaction', () => messages(b, ({ _id, reactions }) => _id === sent._id && reactions?.[':tada:']?.usernames.includes(bo.username)));
	b.events.length = 0;
	await b.call('setReaction', ':tada:', sent._id, false);
	await until('no reaction', () => messages(b, ({ _id, reactions }) => _id === sent._id && !reactions));
});
await step('a thread: the reply arrives, the parent counts it', async () => {
	const parent = await send(a, 'a question');
	const reply = await b.call('sendMessage', { _id: randomId(), rid, tmid: parent._id, msg: 'an answer' });
	await until('the reply', () => messages(b, ({ _id, tmid }) => _id === reply._id && tmid === parent._id));
	await until('the count', () => messages(b, ({ _id, tcount }) => _id === parent._id && tcount === 1));
	const replies = await a.call('getThreadMessages', { tmid: parent._id });
	check(replies.length === 1 && replies[0]._id === reply._id, `replies: ${JSON.stringify(replies)}`);
});
await step('history is paged without gap and without repetition', async () => {
	const sent = [];
	for (let number = 0; number < 7; number += 1) sent.unshift((await send(a, `page ${number}`))._id);
	const found = [];
	let end = null;
	while (found.length < sent.length) {
		const { messages: page } = await b.call('loadHistory', rid, end, 3);
		check(page.length === 3, `a page of ${page.length}`);
		found.push(...page.map(({ _id }) => _id));
		const { ts } = page[page.length - 1];
		end = { $date: ts.$date ?? ts.getTime() };
	}
	check(JSON.stringify(found.slice(0, sent.length)) === JSON.stringify(sent), `${found} instead of ${sent}`);
});
await step('a mention counts until it is read', async () => {
	const key = `${bo._id}/subscriptions-changed`;
	const counts = (probe) => b.events.find((event) => event.key === key && event.args[1].rid === rid && probe(event.args[1]));
	await b.watch('notify-user', key);
	await b.call('readMessages', rid);
	await send(a, `look, @${bo.username}`);
	await until('the mention', () => counts(({ userMentions, unread, alert }) => userMentions === 1 && unread === 1 && alert === true));
	b.events.length = 0;
	await b.call('readMessages', rid);
	await until('all is read', () => counts(({ userMentions, unread, alert }) => userMentions === 0 && unread === 0 && alert === false));
});
await step('rooms and memberships are listed', async () => {
	for (const method of ['rooms/get', 'subscriptions/get']) {
		const all = await b.call(method, {});
		check(all.some((one) => (one.rid ?? one._id) === rid), `${method}: not there`);
		const { update, remove } = await b.call(method, { $date: 0 });
		check(update.length === all.length && Array.isArray(remove), `${method}: ${update?.length} of ${all.length}`);
	}
	const { rooms } = await b.call('spotlight', 'general', [], { users: true, rooms: true });
	check(rooms.some(({ name }) => name === 'general'), 'general was not found');
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
await step('who is added hears at once, who is removed hears no more', async () => {
	const dora = await newUser('dora');
	const d = await signIn(dora);
	const unseen = await d.call('loadHistory', rid);
	check(!unseen?.messages, 'could read');
	await a.call('addUsersToRoom', { rid, users: [dora.username] });
	await d.watch('room-messages', rid);
	const first = await send(a, 'welcome');
	await until('the first', () => messages(d, ({ _id }) => _id === first._id));
	await a.call('removeUserFromRoom', { rid, username: dora.username });
	d.events.length = 0;
	const second = await send(a, 'without them');
	await until('the second', () => messages(b, ({ _id }) => _id === second._id));
	check(!messages(d, () => true), 'leaked');
});
for (const client of [a, b, c]) await Promise.resolve(client?.close()).catch(() => {});
finish();
