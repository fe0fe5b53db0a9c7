// suite.js HOST:PORT [--resp 2|3] [--user NAME --password WORD] [--big-mb N]: what an application does
// with ioredis, each feature once; prints how many commands of each kind were sent.
//
// Any number of them may run against one server at the same time: each keeps to keys of its own.
"use strict";

const data = require("./data.js");
const { run } = require("./counted.js");
const { OTHER_DATABASE, ...sessions } = require("./sessions.js");

// What is there in one version of the protocol alone.
const ONLY_IN = new Map([
  [sessions.tracking, 3],
  [sessions.redirectedTracking, 2],
]);

async function cleanUp(server) {
  for (const db of [0, OTHER_DATABASE]) {
    await server.clients(
      async (client) => {
        for await (const keys of client.scanStream({ match: server.key("*"), count: 1000 })) {
          if (keys.length > 0) await client.unlink(...keys);
        }
      },
      { db },
    );
  }
}

run([...Object.values(data), ...Object.values(sessions)], ONLY_IN, cleanUp).catch((error) => {
  console.error(error);
  process.exit(1);
});
