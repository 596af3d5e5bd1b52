"""A gateway that publishes, of the smallest kind, over real sockets."""

from tests.tunnel.agent.gateway import Gateway, ServedLink
from tests.tunnel.agent.publish.answers import answers


class PublishingLink(ServedLink):
    """Answers each `publish`, unless the gateway was told not to."""

    async def _take(self, message):
        if message["type"] == "publish":
            self.gateway.asked.append(message["payload"])
            self.texts.append(message)
            if self.gateway.publishing:
                routes = answers(message["payload"]["routes"], self.gateway.taken, why=self.gateway.why)
                await self.say("published", {"routes": routes}, message["request_id"])
        else:
            await super()._take(message)


class PublishingGateway(Gateway):
    """`asked` are the payloads of all `publish`; hosts in `taken` are refused."""

    def __init__(self):
        super().__init__()
        self.told = {"publishes": True}
        self.asked = []
        self.taken = []
        self.why = "is taken"
        self.publishing = True

    async def connected(self, websocket, /):
        link = PublishingLink(self, websocket)
        self.links.append(link)
        self.changed()
        await link.run()
