"""`python -m bench.s3_sink PORT_FILE`: a store that takes and forgets, so that what is measured is the sender.

It speaks as much of S3 as uploads need: PUT (whole, or in aws-chunked pieces), HEAD (nothing is there), and multipart
uploads. Answers are well-formed; nothing is kept, so nothing can be read back.
"""

import asyncio
import sys
from pathlib import Path

_BLOCK = 1024 * 1024
_STARTED = (
    b'<?xml version="1.0"?><InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><UploadId>u</UploadId>'
    b"</InitiateMultipartUploadResult>"
)
_COMPLETED = (
    b'<?xml version="1.0"?><CompleteMultipartUploadResult><Location>l</Location><Bucket>b</Bucket><Key>k</Key>'
    b'<ETag>"e"</ETag></CompleteMultipartUploadResult>'
)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            request, *lines = head.decode("latin-1").split("\r\n")
            method, target, _ = request.split(" ", 2)
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            if headers.get("expect", "").lower() == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                await writer.drain()
            if "content-length" in headers:
                left = int(headers["content-length"])
                while left:
                    left -= len(await reader.read(min(left, _BLOCK)))
            elif "chunked" in headers.get("transfer-encoding", ""):
                while size := int((await reader.readline()).split(b";")[0], 16):
                    await reader.readexactly(size + 2)
                await reader.readline()
            body, status = b"", "200 OK"
            if method == "HEAD":
                status = "404 Not Found"
            elif method == "POST":
                body = _STARTED if "uploads" in target and "uploadId" not in target else _COMPLETED
            answer = f'HTTP/1.1 {status}\r\nETag: "e"\r\nContent-Length: {len(body)}\r\n\r\n'
            writer.write(answer.encode() + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _serve(port_file: Path) -> None:
    server = await asyncio.start_server(_answer, "127.0.0.1", 0, limit=2 * _BLOCK)
    port_file.write_text(str(server.sockets[0].getsockname()[1]))
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
