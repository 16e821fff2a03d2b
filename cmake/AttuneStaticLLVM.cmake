message(FATAL_ERROR "release builds are not set up yet")
