// Steps, waiting and REST for the scenarios of the npm clients.
import crypto from 'node:crypto';
import readline from 'node:readline';

export const base = process.argv[3].replace(/\/$/, '');
export const websocketUrl = `${base.replace(/^http/, 'ws')}/websocket`;
const PASSWORD = 'a long enough password';
const counts = { passed: 0, failed: 0 };

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export const randomId = () => crypto.randomBytes(8).toString('hex');
export const digest = (text) => ({ digest: crypto.createHash('sha256').update(text).digest('hex'), algorithm: 'sha-256' });

export function check(condition, message) {
	if (!condition) throw new Error(message);
}

/** Waits until `probe` gives something true, and returns that. */
export async function until(what, probe, limitMs = 10000) {
	const end = Date.now() + limitMs;
	for (;;) {
		const value = await probe();
		if (value) return value;
		if (Date.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`);
		await pause(10);
	}
}

/** Rejects when `promise` takes longer than `limitMs`. */
export function within(limitMs, what, promise) {
	let timer;
	const late = new Promise((_, reject) => {
		timer = setTimeout(() => reject(new Error(`no answer within ${limitMs} ms: ${what}`)), limitMs);
	});
	return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** One line per step. */
export async function step(name, body) {
	try {
		await within(45000, name, Promise.resolve().then(body));
		counts.passed += 1;
		console.log(`ok    ${name}`);
	} catch (error) {
		counts.failed += 1;
		console.log(`FAIL  ${name}: ${error?.stack ?? error?.message ?? JSON.stringify(error)}`);
	}
}

export function finish() {
	console.log(`${counts.passed} passed, ${counts.failed} failed`);
	process.exit(counts.failed ? 1 : 0);
}

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Asks whoever started us to kill and restart the streamers, and waits until that is done. */
export async function killStreamers() {
	console.log('KILL STREAMERS');
	await lines.next();
}

async function rest(method, path, body, user) {
	const answer = await fetch(`${base}/api/v1/${path}`, {
		method,
		headers: {
			...(body ? { 'content-type': 'application/json' } : {}),
			...(user ? { 'X-Auth-Token': user.token, 'X-User-Id': user._id } : {}),
		},
		body: body && JSON.stringify(body),
	});
	const parsed = await answer.json();
	check(answer.status === 200, `${path}: ${answer.status} ${JSON.stringify(parsed)}`);
	return parsed;
}

/** A fresh user, registered and signed in over REST. */
export async function newUser(prefix) {
	const username = `${prefix}-${randomId()}`;
	await rest('POST', 'users.register', { username, name: prefix, email: `${username}@example.org`, pass: PASSWORD });
	const { data } = await rest('POST', 'login', { user: username, password: PASSWORD });
	return { _id: data.userId, username, password: PASSWORD, token: data.authToken };
}

export const get = (path, user) => rest('GET', path, undefined, user);
export const post = (path, body, user) => rest('POST', path, body, user);
