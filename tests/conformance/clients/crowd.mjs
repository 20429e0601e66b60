// node crowd.mjs crowd BASE_URL COUNT KIND…: COUNT clients of each kind, in one process.
// Prints a step per line. 'KILL STREAMERS' asks for the outage, whose end is a line of input; then everybody
// has to be back, without a line of code that helps them, and hears a message.
import { check, finish, get, killStreamers as outage, newUser, pause, post, randomId, step, until } from './harness.mjs';

process.on('unhandledRejection', (error) => {
	console.log(`FAIL  unhandled rejection: ${error?.stack ?? JSON.stringify(error)}`);
});

const count = Number(process.argv[4]);
const kinds = process.argv.slice(5);
const clients = [];
let writer; let rid;

const PER_USER = 20; // a user keeps 50 logins; the oldest ones end
const users = new Map();
await step('a room is made', async () => {
	writer = await newUser('writer');
	for (const kind of kinds) users.set(kind, await Promise.all(Array.from({ length: Math.ceil(count / PER_USER) }, () => newUser(kind))));
	const members = [...users.values()].flat().map(({ username }) => username);
	({ group: { _id: rid } } = await post('groups.create', { name: `crowd-${randomId()}`, members }, writer));
});
for (const kind of kinds) {
	await step(`${count} of ${kind} sign in and listen`, async () => {
		const { signIn } = await import(`./${kind}.mjs`);
		const one = async (_, index) => {
			const client = await signIn(users.get(kind)[index % users.get(kind).length]);
			await client.watch('room-messages', rid);
			clients.push({ kind, client });
		};
		for (let number = 0; number < count; number += 5) await Promise.all(Array.from({ length: Math.min(5, count - number) }, one));
	});
}

async function everybodyHears(text) {
	await post('chat.sendMessage', { message: { rid, msg: text } }, writer);
	const heard = ({ client }) => client.events.some(({ key, args }) => key === rid && args[0].msg === text);
	const deaf = () => clients.filter((one) => !heard(one));
	await until('everybody hears', () => deaf().length === 0, 20000).catch((error) => {
		const kindsLeft = deaf().map(({ kind }) => kind);
		throw new Error(`${error.message}; deaf: ${JSON.stringify(kindsLeft)}`);
	});
}

await step('everybody hears', () => everybodyHears('before'));
const before = clients.map(({ client }) => client.returns());
await outage();
const everybody = process.env.CROWD_PART !== 'some';
await step('everybody comes back', async () => {
	const back = () => clients.filter(({ client }, index) => client.returns() > before[index]).length;
	await until('they are back', () => back() >= (everybody ? clients.length : 1), 44000).catch((error) => {
		throw new Error(`${error.message}: ${back()} of ${clients.length}`);
	});
	if (!everybody) await until('no more of them come', async () => { const now = back(); await pause(3000); return back() === now; }, 40000);
	await pause(1000); // the libraries tell of their login before their subscriptions are back
});
await step('everybody hears again', () => everybodyHears('after'));
await step('REST works', async () => check((await get('me', writer)).username === writer.username, 'me'));
for (const { client } of clients) await Promise.resolve(client.close()).catch(() => {});
finish();
