/* A clock that cron cannot outrun: preloaded into Debian's own cron, it makes time pass only when
 * cron sleeps, writes down every job instead of running it, and ends cron when the time is up.
 *
 * Everything else is cron's own: how it reads files, what it refuses, which minutes it takes.
 * A record is a row of fields, each ended by \x1f, the row by \x1e:
 *   J  the time, the shell, the command, the standard input, each variable
 *   L  the time, a line of the log
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAUSE 10

static time_t now;
static time_t end;
static int record = -1;

static void __attribute__((constructor)) begin(void)
{
    now = atoll(getenv("ORACLE_BEGIN"));
    end = atoll(getenv("ORACLE_END"));
    record = open("/record", O_WRONLY | O_APPEND | O_CREAT, 0666);
}

time_t time(time_t *into)
{
    if (into)
        *into = now;
    return now;
}

int gettimeofday(struct timeval *restrict into, void *restrict zone)
{
    (void)zone;
    into->tv_sec = now;
    into->tv_usec = 0;
    return 0;
}

/* Nothing of one minute may be left over in the next one: wait for every child.  Between minutes
 * that it makes up after a gap cron pauses for ten seconds each: here that takes no time, or a job
 * of the twentieth of them would be written down minutes after the one that it was made up in. */
unsigned sleep(unsigned seconds)
{
    while (waitpid(-1, NULL, 0) > 0)
        ;
    if (seconds != PAUSE)
        now += seconds;
    if (now >= end)
        _exit(0);
    return 0;
}

static void write_down(char *text, size_t length)
{
    if (write(record, text, length) != (ssize_t)length)
        _exit(99);
    free(text);
}

static void log_line(const char *format, va_list blanks)
{
    char *text;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    fprintf(out, "L\x1f%lld\x1f", (long long)now);
    vfprintf(out, format, blanks);
    fputs("\x1f\x1e", out);
    fclose(out);
    write_down(text, length);
}

void syslog(int priority, const char *format, ...)
{
    va_list blanks;
    (void)priority;
    va_start(blanks, format);
    log_line(format, blanks);
    va_end(blanks);
}

void __syslog_chk(int priority, int flag, const char *format, ...)
{
    va_list blanks;
    (void)priority;
    (void)flag;
    va_start(blanks, format);
    log_line(format, blanks);
    va_end(blanks);
}

/* cron calls it as execle(shell, shell, "-c", command, NULL, variables). */
int execle(const char *path, const char *name, ...)
{
    va_list rest;
    char *text;
    size_t length;
    char given[4096];
    ssize_t got;
    FILE *out = open_memstream(&text, &length);
    va_start(rest, name);
    va_arg(rest, char *);
    fprintf(out, "J\x1f%lld\x1f%s\x1f%s\x1f", (long long)now, path, va_arg(rest, char *));
    while ((got = read(STDIN_FILENO, given, sizeof given)) > 0)
        fwrite(given, 1, got, out);
    fputc('\x1f', out);
    va_arg(rest, char *);
    for (char **each = va_arg(rest, char **); *each; each++)
        fprintf(out, "%s\x1f", *each);
    va_end(rest);
    fputc('\x1e', out);
    fclose(out);
    write_down(text, length);
    _exit(0);
}

/* Who may log in is no question of time. */
int pam_start() { return 0; }
int pam_set_item() { return 0; }
int pam_acct_mgmt() { return 0; }
int pam_setcred() { return 0; }
int pam_open_session() { return 0; }
int pam_close_session() { return 0; }
int pam_end() { return 0; }
char **pam_getenvlist() { return calloc(1, sizeof(char *)); }
