// `node events_page.js URL`: an EventSource that sees each event before the next is sent, and comes back after an end.
"use strict";

const { browse, say } = require("./browser.js");

browse(async (open, url) => {
  const page = await open();
  await page.goto(url);
  await page.waitForFunction(() => document.querySelector("output").textContent === "1 2 3 4 5 6");
  say("shows all events");
});
