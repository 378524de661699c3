"""Melodies: the chorales, the model, its baselines and MIDI."""

from throughtime.tasks.melody.corpus import Chorale as Chorale
from throughtime.tasks.melody.corpus import Note as Note
from throughtime.tasks.melody.corpus import chorales as chorales
from throughtime.tasks.melody.midi import midi_file as midi_file
from throughtime.tasks.melody.task import Melody as Melody
from throughtime.tasks.melody.task import MelodyModel as MelodyModel
from throughtime.tasks.melody.task import continue_melody as continue_melody
from throughtime.tasks.melody.trigram import trigram_bits as trigram_bits
