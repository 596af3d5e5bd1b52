// Chromium with one page, for the scripts here: `node SCRIPT URL ...`. A script prints a line for each thing that it saw
// and ends with 0; anything that goes wrong is printed and ends it with 1.
// Every name resolves to loopback, and a request or a WebSocket to another host than the page's is an error: Vite, for
// one, dials its server directly where its WebSocket does not work.
"use strict";

const { chromium } = require("playwright-core");

const SECONDS = 90;
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update",
  "--disable-sync", "--host-resolver-rules=MAP * 127.0.0.1",
];

process.on("unhandledRejection", () => {}); // of a wait that nobody waits for any more, because something else failed

function say(text) {
  console.log(`page: ${text}`);
}

/** Runs `visit(open, url, ...rest of the command line)`; `open()` gives another page of the same browser. */
async function browse(visit) {
  const [url, ...rest] = process.argv.slice(2);
  const { host } = new URL(url);
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: FLAGS });
  const context = await browser.newContext();
  const strangers = [];
  const look = (address) => {
    const { host: other, protocol } = new URL(address);
    if (other !== host && !["data:", "blob:"].includes(protocol)) strangers.push(address);
  };
  const open = async () => {
    const page = await context.newPage();
    page.setDefaultTimeout(SECONDS * 1000);
    page.on("request", (request) => look(request.url()));
    page.on("websocket", (socket) => look(socket.url()));
    page.on("console", (message) => console.log(`console: ${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => console.log(`error in the page: ${error}`));
    page.on("response", (answer) => answer.status() < 400 || console.log(`answer: ${answer.status()} ${answer.url()}`));
    return page;
  };
  try {
    await visit(open, url, ...rest);
    if (strangers.length > 0) throw new Error(`reached past the public host: ${strangers.join(" ")}`);
    say("done");
  } catch (error) {
    console.log(`failed: ${error.stack}`);
    process.exitCode = 1;
  } finally {
    await browser.close();
  }
}

module.exports = { browse, say };
