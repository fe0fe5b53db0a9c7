"""HTTP/2 on top of hyper's h2, for both sides: streams whose bodies come and go in pieces, with flow control obeyed."""

import asyncio

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from http1 import Ended, Fields


class Stream:
    """One stream of a `Connection`."""

    def __init__(self, connection: "Connection", number: int) -> None:
        self._connection = connection
        self.number = number
        self.fields: Fields = []
        self.trailers: Fields = []
        self.interims: list[tuple[int, Fields]] = []
        self.headers_came = asyncio.Event()
        self._pieces: asyncio.Queue[bytes | None | Ended] = asyncio.Queue()
        self._ended: Ended | None = None

    async def pieces(self):
        """The body as it comes; the sender may send more only when a piece has been taken."""
        while (piece := await self._pieces.get()) is not None:
            if isinstance(piece, Ended):
                raise piece
            data, credit = piece
            yield data
            self._connection.give_credit(self.number, credit)

    async def send_headers(self, fields: Fields, end: bool) -> None:
        self._check()
        self._connection.h2.send_headers(self.number, fields, end_stream=end)
        await self._connection.flush()

    async def send(self, data: bytes, end: bool = False) -> None:
        h2 = self._connection.h2
        view = memoryview(data)
        while view:
            self._check()
            room = min(h2.local_flow_control_window(self.number), h2.max_outbound_frame_size)
            if room <= 0:
                await self._connection.window()
                continue
            part, view = view[:room], view[room:]
            h2.send_data(self.number, part.tobytes(), end_stream=end and not view)
            await self._connection.flush()
        if end and not data:
            self._check()
            h2.send_data(self.number, b"", end_stream=True)
            await self._connection.flush()

    async def reset(self, code: int) -> None:
        self._connection.h2.reset_stream(self.number, code)
        await self._connection.flush()

    def _check(self) -> None:
        if self._ended:
            raise self._ended

    def come(self, piece, ended: Ended | None = None) -> None:
        if ended:
            self._ended = ended
            self.headers_came.set()
        self._pieces.put_nowait(ended or piece)


class Connection:
    """Reads frames and hands them to streams. `on_request` is what an origin does with a new one."""

    def __init__(self, reader, writer, client: bool, on_request=None, window: int | None = None) -> None:
        self._reader, self._writer = reader, writer
        self._on_request = on_request
        self._streams: dict[int, Stream] = {}
        self._window = asyncio.Event()
        self._tasks: set[asyncio.Task] = set()
        # Whether a peer says too much, or wrongly, is for the proxy to judge: not for this library.
        config = h2.config.H2Configuration(client_side=client, header_encoding="latin-1", validate_outbound_headers=False)
        self.h2 = h2.connection.H2Connection(config)
        self.goaway: int | None = None
        self.closed = False
        if window is not None:
            self.h2.local_settings[h2.settings.SettingCodes.INITIAL_WINDOW_SIZE] = window

    async def open(self) -> None:
        self.h2.initiate_connection()
        await self.flush()

    async def run(self) -> None:
        """Until the other side is gone."""
        try:
            while data := await self._reader.read(256 * 1024):
                for event in self.h2.receive_data(data):
                    self._on(event)
                await self.flush()
        except (ConnectionError, h2.exceptions.ProtocolError) as error:
            self.broken = error
        self.closed = True
        for stream in self._streams.values():
            stream.come(None, Ended("the connection ended"))
        self._window.set()
        self._writer.close()

    def stream(self) -> Stream:
        number = self.h2.get_next_available_stream_id()
        self._streams[number] = Stream(self, number)
        return self._streams[number]

    def forget(self, stream: Stream) -> None:
        """Of a stream that has ended, by whoever keeps a connection for long."""
        self._streams.pop(stream.number, None)

    def give_credit(self, number: int, length: int) -> None:
        if length and not self.closed:
            try:
                self.h2.acknowledge_received_data(length, number)
            except h2.exceptions.ProtocolError:
                return
            self._writer.write(self.h2.data_to_send())

    async def flush(self) -> None:
        if data := self.h2.data_to_send():
            self._writer.write(data)
            try:
                await self._writer.drain()
            except ConnectionError as error:
                raise Ended("the connection ended") from error

    async def window(self) -> None:
        self._window.clear()
        if self.closed:
            raise Ended("the connection ended")
        await self._window.wait()

    def _on(self, event) -> None:
        stream = self._streams.get(getattr(event, "stream_id", None) or 0)
        match event:
            case h2.events.RequestReceived():
                stream = self._streams[event.stream_id] = Stream(self, event.stream_id)
                stream.fields = list(event.headers)
                task = asyncio.ensure_future(self._on_request(stream))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            case h2.events.InformationalResponseReceived():
                fields = list(event.headers)
                stream.interims.append((int(fields[0][1]), fields[1:]))
            case h2.events.ResponseReceived():
                stream.fields = list(event.headers)
                stream.headers_came.set()
            case h2.events.TrailersReceived():
                stream.trailers.extend(event.headers)
            case h2.events.DataReceived():
                if stream:
                    stream.come((event.data, event.flow_controlled_length))
            case h2.events.StreamEnded():
                if stream:
                    stream.come(None)
            case h2.events.StreamReset():
                if stream:
                    stream.come(None, Ended(f"reset {h2.errors.ErrorCodes(event.error_code).name}"))
                    self._window.set()
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                self._window.set()
            case h2.events.ConnectionTerminated():
                self.goaway = int(event.error_code)
