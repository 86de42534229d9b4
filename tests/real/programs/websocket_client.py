"""A WebSocket client: says what it was told first, how a text, a ping and large binary messages came back, and how it ended.

usage: websocket_client.py HOST:PORT"""
import asyncio
import sys

from websockets.asyncio.client import connect


async def main():
    async with connect(f"ws://{sys.argv[1]}/", max_size=None, open_timeout=20) as socket:
        print(await socket.recv())
        await socket.send("grüezi")
        print(await socket.recv())
        await (await socket.ping())
        large = bytes(range(256)) * 8192
        for _ in range(3):
            await socket.send(large)
        print([await socket.recv() == large for _ in range(3)])
    print(socket.close_code)


asyncio.run(asyncio.wait_for(main(), 60))
