"""A gateway that publishes, of the smallest kind, over real sockets."""

from tests.tunnel.agent.gateway import Gateway, ServedLink


class PublishingLink(ServedLink):
    """Answers each `publish`, unless the gateway was told not to."""

    async def _take(self, message):
        if message["type"] == "publish":
            self.gateway.asked.append(message["payload"])
            self.texts.append(message)
            if self.gateway.publishing:
                await self.say("published", {"routes": self._routes(message)}, message["request_id"])
        else:
            await super()._take(message)

    def _routes(self, message):
        routes = []
        for route in message["payload"]["routes"]:
            host = route.get("host") or f"given-{route['key']}.example.com"
            refused = host in self.gateway.taken
            routes.append({
                "key": route["key"], "host": host, "path": route.get("path", "/"),
                "url": "" if refused else f"https://{host}/",
                "code": "host_taken" if refused else "", "error": f"{host} is taken" if refused else "",
            })  # fmt: skip
        return routes


class PublishingGateway(Gateway):
    """`asked` are the payloads of all `publish`; hosts in `taken` are refused."""

    def __init__(self):
        super().__init__()
        self.told = {"publishes": True}
        self.asked = []
        self.taken = []
        self.publishing = True

    async def connected(self, websocket, /):
        link = PublishingLink(self, websocket)
        self.links.append(link)
        self.changed()
        await link.run()
