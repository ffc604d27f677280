/* A name server that does not answer, for the names that end in .slow.invalid: preloaded by
   bench/chaos/hostile.py. Every other name is looked up as ever. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

static const char END[] = ".slow.invalid";
static const int SECONDS = 10;

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **result) {
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        (int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **))dlsym(
            RTLD_NEXT, "getaddrinfo");
    size_t length = name ? strlen(name) : 0, end = sizeof END - 1;
    if (length > end && !strcmp(name + length - end, END)) {
        sleep(SECONDS);
        return EAI_AGAIN;
    }
    return real(name, service, hints, result);
}
