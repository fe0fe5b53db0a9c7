//! Exchanges in which a side speaks HTTP/2: H2 → H1, H1 → H2, H2 → H2.

mod checks;
mod flow;
mod h1_in;
mod h1_out;
mod h2_down;
mod h2_halves;
mod h2_up;
mod relay;
mod side;
mod to_h1;
mod to_h2;
