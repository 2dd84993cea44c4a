//! A process killed after every single instruction of an operation, while another goes on.
//!
//! Of each operation all instructions are taken that change the memory which processes share, and of most operations some
//! of the others: each of them with `TOLLGATE_STRIDE=1`. The survivor must find nothing stuck, nothing torn, at most one
//! debit without an admission, and not a cell and not a line missing. An argument selects operations by name.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod linux;

fn main() {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    linux::main();
}
