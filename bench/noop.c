/*
 * The program that every row of the bench starts. It does nothing, so what is measured is the
 * start; with an argument it waits for a signal, for the rows that count memory.
 */
#include <unistd.h>

int main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1) pause();
	return 0;
}
