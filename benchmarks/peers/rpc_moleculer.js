// Moleculer over NATS: the same action with the same validated arguments as benchmarks/bus.py.
//
//   node rpc_moleculer.js answer URL            serves; prints "ready"; ends with its input
//   node rpc_moleculer.js call URL              calls; per line "CONCURRENCY SECONDS" of input
//                                               one line of JSON
const readline = require('node:readline');
const { ServiceBroker } = require('moleculer');

const [role, url] = process.argv.slice(2);
const broker = new ServiceBroker({
  namespace: 'bench', nodeID: `${role}-${process.pid}`, transporter: url, logger: false,
  metrics: false, tracing: false, registry: { preferLocal: false },
});
const cpu = () => { const used = process.cpuUsage(); return (used.user + used.system) / 1e6; };

// Both sides check: the callee by its validator, the caller by the same schema before it calls.
const params = {
  user_id: 'string', permission: 'string', room_id: { type: 'string', optional: true },
};

const service = {
  name: 'bench',
  actions: {
    hasPermission: { params, handler: () => true },
    cpu: () => cpu(),
  },
};

async function measure(concurrency, seconds) {
  const check = broker.validator.validator.compile(params);
  const call = () => {
    const body = { user_id: 'abcdefghijklmnopq', permission: 'delete-message', room_id: 'GENERAL' };
    if (check(body) !== true) throw new Error('invalid');
    return broker.call('bench.hasPermission', body);
  };
  for (let index = 0; index < 200; index += 1) await call();
  const durations = [];
  const calleeBefore = await broker.call('bench.cpu');
  const before = cpu();
  const started = performance.now();
  const end = started + seconds * 1000;
  async function worker() {
    for (;;) {
      const begun = performance.now();
      if (begun >= end) return;
      if (await call() !== true) throw new Error('wrong answer');
      durations.push(performance.now() - begun);
    }
  }
  await Promise.all(Array.from({ length: concurrency }, worker));
  const elapsed = (performance.now() - started) / 1000;
  const caller = cpu() - before;
  const callee = await broker.call('bench.cpu') - calleeBefore;
  durations.sort((a, b) => a - b);
  const count = durations.length;
  return {
    calls_per_second: count / elapsed,
    p50_ms: durations[Math.floor(count / 2)],
    p99_ms: durations[Math.floor((count * 99) / 100)],
    cpu_us: ((caller + callee) / count) * 1e6,
    caller_cpu_us: (caller / count) * 1e6,
  };
}

async function main() {
  if (role === 'answer') broker.createService(service);
  await broker.start();
  if (role === 'call') await broker.waitForServices('bench', 15000);
  console.log('ready');
  let turn = Promise.resolve();
  readline.createInterface({ input: process.stdin })
    .on('line', (line) => {
      const [concurrency, seconds] = line.split(' ').map(Number);
      turn = turn.then(async () => console.log(JSON.stringify(await measure(concurrency, seconds))));
    })
    .on('close', () => turn.then(() => broker.stop()).then(() => process.exit(0)));
}

main().catch((error) => { console.error(error); process.exit(1); });
