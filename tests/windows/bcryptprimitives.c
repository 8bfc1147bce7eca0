/* For tests under Wine before 8.11, which has no bcryptprimitives.dll: Rust's standard library takes its
   random numbers from there. Windows' own is never replaced by this. */
#include <windows.h>
#include <ntsecapi.h>

/* The most that RtlGenRandom is given at once. */
#define PIECE 0x1000000u

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T length)
{
    while (length > 0) {
        ULONG piece = length > PIECE ? PIECE : (ULONG)length;
        if (!RtlGenRandom(data, piece))
            return FALSE;
        data += piece;
        length -= piece;
    }
    return TRUE;
}
