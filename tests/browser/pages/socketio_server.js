// `node socketio_server.js PORT`: a chat on Socket.IO, with its own client in the page.
"use strict";

const http = require("node:http");
const { Server } = require("socket.io");

const PAGE = `<!doctype html><title>Chat</title><ul></ul>
<script src="/socket.io/socket.io.js"></script>
<script>
  window.chat = io();
  window.chat.on("said", (text) => {
    const item = document.createElement("li");
    item.textContent = text;
    document.querySelector("ul").append(item);
  });
</script>`;

const server = http.createServer((request, response) => {
  response.writeHead(200, { "Content-Type": "text/html" });
  response.end(PAGE);
});
const chat = new Server(server);
chat.on("connection", (socket) => socket.on("say", (text) => chat.emit("said", text)));
server.listen(Number(process.argv[2]), "127.0.0.1", () => console.log("listening"));
