// The official Socket.IO client: `node client.js URL TRANSPORTS COUNT`, TRANSPORTS separated by commas.
// Connects, echoes text and binary, counts a burst, waits for the upgrade where there is one, and prints what it
// saw as one line of JSON. Every name resolves to loopback, so that the Host is the public one.
"use strict";

const dns = require("node:dns");

dns.lookup = (name, options, callback) => {
  const done = typeof options === "function" ? options : callback;
  const all = typeof options === "object" && options.all;
  process.nextTick(() => (all ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4)));
};

const { io } = require("socket.io-client");

const [url, transports, count] = process.argv.slice(2);
const wanted = transports.split(",");
const socket = io(url, { transports: wanted, reconnection: false, forceNew: true });
const seen = { numbers: [], upgraded: null };

function fail(why) {
  console.log(JSON.stringify({ failed: String(why) }));
  process.exit(1);
}

socket.on("connect_error", (error) => fail(`connect: ${error.message} ${error.description || ""}`));
socket.on("disconnect", (why) => seen.done || fail(`disconnect: ${why}`));
socket.on("number", (number) => seen.numbers.push(number));

socket.on("connect", async () => {
  try {
    const engine = socket.io.engine;
    if (wanted.length > 1 && engine.transport.name !== wanted[wanted.length - 1]) {
      await new Promise((resolve) => engine.once("upgrade", resolve));
    }
    seen.transport = engine.transport.name;
    seen.echo = await socket.emitWithAck("echo", "snow \u2603", 1, { deep: [true, null] });
    const binary = Buffer.alloc(1 << 20, 7);
    const [back, beside] = await socket.emitWithAck("echo", binary, "beside");
    seen.binary = Buffer.compare(Buffer.from(back), binary) === 0 && beside === "beside";
    seen.burst = await socket.emitWithAck("burst", Number(count));
    seen.who = (await socket.emitWithAck("who")).toString();
    seen.done = true;
    // At once: a poll under way would be waited for, as long as the server likes.
    process.stdout.write(JSON.stringify(seen) + "\n", () => process.exit(0));
  } catch (error) {
    fail(error.stack);
  }
});
