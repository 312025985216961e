"""What Transcribe is made of: captions, audio and recognition to words with times, and words to sentences."""
