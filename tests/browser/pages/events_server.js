// `node events_server.js PORT`: events that are sent one by one: the next one when the page says that it saw the last.
// The answer ends after the third event; the EventSource of the page comes back and says what it saw.
"use strict";

const http = require("node:http");

const PAGE = `<!doctype html><title>Events</title><output></output>
<script>
  const seen = [];
  new EventSource("/events").onmessage = async (event) => {
    seen.push(event.data);
    document.querySelector("output").textContent = seen.join(" ");
    await fetch("/saw", { method: "POST", body: event.data });
  };
</script>`;

let listener = null;

function send(number) {
  listener.write(`retry: 100\nid: ${number}\ndata: ${number}\n\n`);
}

const server = http.createServer((request, response) => {
  if (request.url === "/events") {
    response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
    listener = response;
    send(Number(request.headers["last-event-id"] ?? 0) + 1);
  } else if (request.url === "/saw") {
    request.setEncoding("utf8").once("data", (text) => {
      response.writeHead(204).end();
      const number = Number(text);
      if (number === 3) listener.end();
      else if (number < 6) send(number + 1);
    });
  } else {
    response.writeHead(200, { "Content-Type": "text/html" }).end(PAGE);
  }
});
server.listen(Number(process.argv[2]), "127.0.0.1", () => console.log("listening"));
