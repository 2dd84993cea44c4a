#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tollgate_fuzz::import_csv::run(bytes));
