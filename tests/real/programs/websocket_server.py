"""A WebSocket server that says who calls it and then repeats what it hears.

usage: websocket_server.py PORT"""
import asyncio
import sys

from websockets.asyncio.server import serve


async def echo(socket):
    await socket.send(socket.request.headers.get("weft-client-id", "nobody"))
    async for message in socket:
        await socket.send(message)


async def main():
    async with serve(echo, None, int(sys.argv[1]), max_size=None):
        await asyncio.get_running_loop().create_future()


asyncio.run(main())
