// `node jupyter_page.js URL`: opens the notebook of that URL in JupyterLab, runs its first cell, and sees its output.
"use strict";

const { browse, say } = require("./browser.js");

browse(async (open, url) => {
  const page = await open();
  const channels = page.waitForEvent("websocket", (socket) => /\/api\/kernels\/[^/]+\/channels/.test(socket.url()));
  await page.goto(url);
  await page.locator(".jp-Notebook .jp-CodeCell .cm-content").first().click();
  say("shows the notebook");
  const frame = (await channels).waitForEvent("framereceived");
  await page.keyboard.press("Shift+Enter");
  await page.locator(".jp-OutputArea-output", { hasText: "42 from the kernel" }).waitFor();
  await frame;
  say("shows the output");
});
