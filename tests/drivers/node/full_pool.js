// full_pool.js HOST:PORT: one find and one insert while every connection of the proxy is in use: what the driver does then.
"use strict";

const { Counted, run } = require("./support.js");

run(async (address) => {
  const counted = new Counted(address);
  const carts = counted.client.db("shop").collection("carts");
  const steps = { find: () => carts.findOne({ _id: 1 }), insert: () => carts.insertOne({ _id: 1 }) };
  const errors = {};
  for (const [name, step] of Object.entries(steps)) {
    errors[name] = await step().then(
      () => Promise.reject(new Error("no error although the pool was full")),
      (error) => ({ code: error.code, message: error.message, labels: [...error.errorLabels].sort() }),
    );
  }
  await counted.client.close();
  return { commands: counted.commands, pools: counted.pools, errors };
});
