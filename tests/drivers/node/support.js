// A client of the current Node.js driver whose commands, pools and heartbeats are counted.
"use strict";

const { isDeepStrictEqual, inspect } = require("node:util");
const { MongoClient } = require("mongodb");

// Far above what any step needs, and below what a test run waits for.
const TIMEOUT_MS = 30_000;

class Counted {
  constructor(address, { loadBalanced, ...options } = {}) {
    this.commands = {};
    this.pools = { cleared: 0, created: 0, closed: 0, failed_heartbeats: 0, awaited_heartbeats: 0 };
    this.client = new MongoClient(`mongodb://${address}/${loadBalanced ? "?loadBalanced=true" : ""}`, {
      monitorCommands: true,
      appName: "narrows-node",
      serverSelectionTimeoutMS: TIMEOUT_MS,
      socketTimeoutMS: TIMEOUT_MS,
      ...options,
    });
    this.client.on("commandStarted", ({ commandName }) => {
      this.commands[commandName] = (this.commands[commandName] ?? 0) + 1;
    });
    const count = (event, name, counts = () => true) =>
      this.client.on(event, (details) => (this.pools[name] += counts(details) ? 1 : 0));
    count("connectionPoolCleared", "cleared");
    count("connectionCreated", "created");
    count("connectionClosed", "closed");
    count("serverHeartbeatFailed", "failed_heartbeats");
    count("serverHeartbeatSucceeded", "awaited_heartbeats", (details) => details.awaited);
  }
}

// Ends the program with a message that names the step, when a step did not do what it should.
function expect(what, found, wanted) {
  if (!isDeepStrictEqual(found, wanted)) {
    throw new Error(`${what}: ${inspect(found)}, not ${inspect(wanted)}`);
  }
}

async function expectError(what, code, step) {
  const error = await step().then(
    () => null,
    (error) => error,
  );
  expect(what, error?.code, code);
  return error;
}

// Runs a program for the arguments of the command line, and prints what it returns as one line of JSON.
function run(program) {
  program(...process.argv.slice(2)).then(
    (report) => console.log(JSON.stringify(report)),
    (error) => {
      console.error(error);
      process.exit(1);
    },
  );
}

module.exports = { Counted, expect, expectError, run };
