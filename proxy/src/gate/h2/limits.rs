//! How much of each kind of frame, to whom. Far above what clients in use send, far below what costs anything.

/// What one kind of frame may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    /// At once, at the beginning.
    pub(crate) burst: u32,
    /// Most that can be saved up by time and by what we send.
    pub(crate) most: u32,
    /// Added every second.
    pub(crate) per_second: u32,
}

impl Allowance {
    const fn new(burst: u32, per_second: u32) -> Self {
        Self { burst, most: burst, per_second }
    }

    const fn up_to(self, most: u32) -> Self {
        Self { most, ..self }
    }
}

/// Allowances of one kind of peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) ping: Allowance,
    pub(crate) settings: Allowance,
    pub(crate) priority: Allowance,
    pub(crate) window: Allowance,
    pub(crate) tiny_window: Allowance,
    pub(crate) rapid_reset: Allowance,
    pub(crate) reset: Allowance,
    pub(crate) empty_data: Allowance,
    pub(crate) tiny_data: Allowance,
    pub(crate) odd: Allowance,
    /// Most frames in one field block.
    pub(crate) block_frames: u32,
    /// Most bytes in one field block, compressed.
    pub(crate) block_bytes: u32,
    /// Most bytes in one frame: SETTINGS_MAX_FRAME_SIZE, which the peer is told.
    pub(crate) max_frame: u32,
    /// What all streams of a connection together may have in flight, in bytes: what we hold at most for those who are slow
    /// to take it.
    pub(crate) in_flight: u32,
}

impl Limits {
    /// Anybody who connects: an application, or a client that nobody vouches for.
    pub(crate) const CLIENT: Self = Self {
        ping: Allowance::new(100, 10).up_to(2_000),
        settings: Allowance::new(50, 2),
        priority: Allowance::new(200, 20).up_to(2_000),
        window: Allowance::new(1_000, 100).up_to(50_000),
        tiny_window: Allowance::new(500, 50),
        rapid_reset: Allowance::new(100, 30),
        reset: Allowance::new(1_000, 30).up_to(2_000),
        empty_data: Allowance::new(100, 10),
        tiny_data: Allowance::new(1_000, 500),
        odd: Allowance::new(100, 10),
        block_frames: 8,
        block_bytes: 128 << 10,
        max_frame: 16 << 10,
        in_flight: 1 << 20,
    };

    /// A proven sidecar: one connection carries what many clients do, so what each of them may do at once must not
    /// end it for all. Its own guard has seen to each of them.
    pub(crate) const SIDECAR: Self = Self {
        rapid_reset: Allowance::new(10_000, 5_000),
        reset: Allowance::new(10_000, 5_000),
        empty_data: Allowance::new(2_000, 500),
        tiny_data: Allowance::new(20_000, 10_000),
        max_frame: LARGE_FRAME,
        in_flight: MANY_STREAMS,
        ..Self::CLIENT
    };

    /// A server that we call: for [`super::Guard::of_server`]. It may end every stream of ours at once, and flush as
    /// often as it likes; the application beside us is not our enemy.
    pub(crate) const SERVER: Self = Self {
        tiny_window: Allowance::new(50_000, 10_000),
        rapid_reset: Allowance::new(u32::MAX / TOKEN, 0),
        reset: Allowance::new(5_000, 1_000).up_to(50_000),
        empty_data: Allowance::new(2_000, 1_000),
        tiny_data: Allowance::new(20_000, 10_000),
        odd: Allowance::new(1_000, 100),
        max_frame: LARGE_FRAME,
        in_flight: MANY_STREAMS,
        ..Self::CLIENT
    };
}

/// With its nine bytes in front it fills five records of TLS. A frame of the usual 16 KiB fills one and begins another, and
/// is written by itself; one that fills four records would leave the last nine bytes of a body of 64 KiB, which many
/// programs make, to a second frame.
pub(crate) const LARGE_FRAME: u32 = (80 << 10) - 9;
/// What one stream may have in flight.
pub(crate) const STREAM_WINDOW: u32 = 256 << 10;
/// Sixty-four streams that are stalled by whoever waits for them do not stall the others on the connection.
const MANY_STREAMS: u32 = 64 * STREAM_WINDOW;
/// A token in the thousandths that are counted.
pub(super) const TOKEN: u32 = 1000;
