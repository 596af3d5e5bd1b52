// `node vite_page.js URL`: sees the page change when its module does, without a reload.
"use strict";

const { browse, say } = require("./browser.js");

const shows = (text) => document.querySelector("#text").textContent === text;

browse(async (open, url) => {
  const page = await open();
  const connected = page.waitForEvent("console", (message) => message.text() === "[vite] connected.");
  await page.goto(url);
  await page.waitForFunction(shows, "first");
  await connected;
  await page.evaluate(() => { window.loadedOnce = true; });
  say("shows first");
  await page.waitForFunction(shows, "second");
  if (!(await page.evaluate(() => window.loadedOnce))) throw new Error("the page was loaded again");
  say("shows second");
});
