// ioredis with every command counted that goes out, and what the suite's steps need of a server.
"use strict";

const { randomBytes } = require("node:crypto");
const { isDeepStrictEqual, inspect, parseArgs } = require("node:util");
const { Redis } = require("ioredis");
const StandaloneConnector = require("ioredis/built/connectors/StandaloneConnector").default;

// Far above what any step needs, and below what a test run waits for.
const PATIENCE_MS = 60_000;

// Commands whose first argument says which of several they are.
const CONTAINERS = new Set(
  "acl client cluster command config function latency memory module object pubsub script slowlog xgroup xinfo".split(" "),
);

const counts = { commands: {}, connections: 0 };

function sent([first, second]) {
  const command = first.toString().toLowerCase();
  const name = CONTAINERS.has(command) && second ? `${command}_${second.toString().toLowerCase()}` : command;
  counts.commands[name] = (counts.commands[name] ?? 0) + 1;
}

// Reads requests as they are written, and of each its first two arguments; the bytes of large ones are only counted.
class Requests {
  #line = "";
  #arguments = 0;
  #words = [];
  #word = null;
  #left = 0;

  take(bytes) {
    for (let at = 0; at < bytes.length; ) at += this.#left ? this.#skip(bytes.subarray(at)) : this.#header(bytes.subarray(at));
  }

  #header(bytes) {
    const end = bytes.indexOf("\n");
    this.#line += bytes.toString("latin1", 0, end < 0 ? bytes.length : end + 1);
    if (end < 0) return bytes.length;
    const number = Number(this.#line.slice(1, -2));
    if (this.#line[0] === "*") [this.#arguments, this.#words] = [number, []];
    else {
      this.#left = number + 2;
      this.#word = this.#words.length < 2 ? [] : null;
    }
    this.#line = "";
    return end + 1;
  }

  #skip(bytes) {
    const taken = bytes.subarray(0, this.#left);
    this.#word?.push(taken);
    this.#left -= taken.length;
    if (this.#left === 0) {
      if (this.#word) this.#words.push(Buffer.concat(this.#word).subarray(0, -2));
      this.#arguments -= 1;
      if (this.#arguments === 0) sent(this.#words);
    }
    return taken.length;
  }
}

class CountingConnector extends StandaloneConnector {
  async connect(onError) {
    const stream = await super.connect(onError);
    counts.connections += 1;
    const requests = new Requests();
    const write = stream.write;
    stream.write = (data, ...rest) => {
      requests.take(Buffer.isBuffer(data) ? data : Buffer.from(data));
      return write.call(stream, data, ...rest);
    };
    return stream;
  }
}

// Where the suite runs, and its own part of what is kept there.
class Server {
  constructor(address, { resp, user, password, "big-mb": bigMb }) {
    const [host, port] = address.split(":");
    this.resp = Number(resp);
    this.user = user;
    this.password = password;
    this.bigMb = Number(bigMb);
    this.prefix = `js${randomBytes(6).toString("hex")}:`;
    this.options = {
      host,
      port: Number(port),
      username: user,
      password,
      protocol: this.resp,
      Connector: CountingConnector,
      commandTimeout: PATIENCE_MS,
      // A command that is sent again would be hidden trouble.
      retryStrategy: () => null,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
    };
  }

  key(name) {
    return this.prefix + name;
  }

  // Runs a step with as many clients as it takes, and closes them.
  async clients(step, options = {}) {
    const clients = Array.from({ length: step.length }, () => new Redis({ ...this.options, ...options }));
    try {
      await step(...clients);
    } finally {
      for (const client of clients) client.disconnect();
    }
  }
}

// Ends the program with a message that names the step, when a step did not do what it should.
function expect(what, found, wanted) {
  if (!isDeepStrictEqual(found, wanted)) throw new Error(`${what}: ${inspect(found)}, not ${inspect(wanted)}`);
}

async function expectError(what, begins, reply) {
  const error = await Promise.resolve(reply).then(
    (value) => value,
    (error) => error,
  );
  if (error instanceof Error && error.message.startsWith(begins)) return;
  throw new Error(`${what}: ${inspect(error)}, not ${begins}`);
}

// The results of a pipeline or transaction, an error as a value too.
const results = (replies) => replies && replies.map(([error, value]) => error ?? value);

// Collects what an emitter says of these events; `take` waits for that many.
class Heard {
  #said = [];
  #wake = () => {};

  constructor(emitter, ...events) {
    for (const event of events) {
      emitter.on(event, (...what) => {
        this.#said.push([event, ...what]);
        this.#wake();
      });
    }
  }

  async take(count) {
    const late = setTimeout(() => {
      throw new Error(`only ${this.#said.length} of ${count} messages came`);
    }, PATIENCE_MS);
    while (this.#said.length < count) await new Promise((wake) => (this.#wake = wake));
    clearTimeout(late);
    return this.#said.splice(0, count);
  }
}

// Runs the features for the arguments of the command line, and prints what was sent as one line of JSON.
async function run(features, onlyIn, cleanUp) {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      resp: { type: "string", default: "2" },
      user: { type: "string" },
      password: { type: "string" },
      "big-mb": { type: "string", default: "512" },
    },
  });
  const server = new Server(positionals[0], values);
  const names = [];
  for (const feature of features) {
    if ((onlyIn.get(feature) ?? server.resp) !== server.resp) continue;
    await feature(server).catch((cause) => {
      throw new Error(`${feature.name} failed`, { cause });
    });
    names.push(feature.name);
  }
  await cleanUp(server);
  console.log(JSON.stringify({ ...counts, features: names }));
}

module.exports = { Heard, counts, expect, expectError, results, run };
