// `node socketio_page.js URL`: two pages of one chat, each of which sees what the other says, over WebSockets.
"use strict";

const { browse, say } = require("./browser.js");

browse(async (open, url) => {
  const pages = [await open(), await open()];
  for (const page of pages) {
    await page.goto(url);
    await page.waitForFunction(() => window.chat.connected && window.chat.io.engine.transport.name === "websocket");
  }
  say("both are connected by a WebSocket");
  for (const [number, page] of pages.entries()) {
    await page.evaluate((text) => window.chat.emit("say", text), `hello from ${number}`);
    for (const each of pages) await each.locator("li", { hasText: `hello from ${number}` }).waitFor();
    say(`both see what ${number} said`);
  }
});
