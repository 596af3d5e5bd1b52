// `node jupyter_page.js URL`: opens the notebook of that URL in JupyterLab, runs its first cell, and sees its output.
"use strict";

const { browse, say } = require("./browser.js");

browse(async (open, url) => {
  const page = await open();
  const channels = page.waitForEvent("websocket", (socket) => /\/api\/kernels\/[^/]+\/channels/.test(socket.url()));
  await page.goto(url);
  const cell = page.locator(".jp-Notebook .jp-CodeCell .cm-content").first();
  await cell.waitFor();
  say("shows the notebook");
  const socket = await channels;
  // Until the kernel is ready JupyterLab still moves the focus, and a key would go elsewhere.
  await page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').first().waitFor({ state: "attached" });
  await cell.click();
  const frame = socket.waitForEvent("framereceived");
  await page.keyboard.press("Shift+Enter");
  await page.locator(".jp-OutputArea-output", { hasText: "42 from the kernel" }).waitFor();
  await frame;
  say("shows the output");
});
