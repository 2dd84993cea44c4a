#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tollgate_fuzz::trace_line::run(bytes));
