# How libaom is built: without the code that stills by our own settings do not reach.
# `.cargo/config.toml` names this file in CMAKE_TOOLCHAIN_FILE, since libaom-sys passes no options on; CMake reads it before the
# project's own defaults. libjpeg-turbo is built with CMake, too, and has none of these options.

# no film grain is estimated
set(CONFIG_DENOISE 0 CACHE STRING "")
# nothing is scaled
set(CONFIG_LIBYUV 0 CACHE STRING "")
# SVT-AV1's convolution is for inter prediction, and under the BSD-3-Clause-Clear licence
set(CONFIG_SVT_AV1 0 CACHE STRING "")
# no WebM files are written
set(CONFIG_WEBM_IO 0 CACHE STRING "")
