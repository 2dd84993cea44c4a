# find_package(tollgate): targets tollgate::tollgate (shared) and tollgate::static, as far as each is installed. It lies in
# <prefix>/share/tollgate/cmake.
include(CMakeFindDependencyMacro)
find_dependency(Threads)

get_filename_component(_tollgate_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
set(_tollgate_places PATHS "${_tollgate_prefix}" PATH_SUFFIXES lib lib64 "lib/${CMAKE_LIBRARY_ARCHITECTURE}" NO_DEFAULT_PATH)
find_library(tollgate_SHARED NAMES libtollgate.so libtollgate.dylib tollgate.dll.lib ${_tollgate_places})
find_library(tollgate_STATIC NAMES libtollgate.a ${_tollgate_places})
mark_as_advanced(tollgate_SHARED tollgate_STATIC)

if(tollgate_SHARED AND NOT TARGET tollgate::tollgate)
    add_library(tollgate::tollgate SHARED IMPORTED)
    set_target_properties(tollgate::tollgate PROPERTIES
        IMPORTED_LOCATION "${tollgate_SHARED}"
        INTERFACE_INCLUDE_DIRECTORIES "${_tollgate_prefix}/include")
endif()
if(tollgate_STATIC AND NOT TARGET tollgate::static)
    add_library(tollgate::static STATIC IMPORTED)
    set_target_properties(tollgate::static PROPERTIES
        IMPORTED_LOCATION "${tollgate_STATIC}"
        INTERFACE_INCLUDE_DIRECTORIES "${_tollgate_prefix}/include"
        INTERFACE_COMPILE_DEFINITIONS TOLLGATE_STATIC
        INTERFACE_LINK_LIBRARIES "Threads::Threads;${CMAKE_DL_LIBS};m")
endif()

if(NOT tollgate_SHARED AND NOT tollgate_STATIC)
    set(tollgate_FOUND FALSE)
    set(tollgate_NOT_FOUND_MESSAGE "no libtollgate in ${_tollgate_prefix}")
endif()
